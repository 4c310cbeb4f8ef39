// SPDX-License-Identifier: MIT
// shots.mjs URL DIRECTORY: screenshots of the dashboard in four variants, to be looked at.
import { mkdirSync } from 'node:fs';
import { open } from './browser.mjs';

const [url, directory] = process.argv.slice(2);
mkdirSync(directory, { recursive: true });
for (const [device, viewport] of [['desktop', { width: 1440, height: 900 }], ['phone', { width: 390, height: 844 }]])
  for (const colorScheme of ['dark', 'light']) {
    const { browser, page } = await open({ viewport, colorScheme, deviceScaleFactor: device === 'phone' ? 2 : 1 });
    await page.goto(url);
    await page.waitForSelector('.keyrow');
    await page.waitForTimeout(2500);
    await page.locator('.keyrow').nth(3).click();
    await page.waitForSelector('textarea');
    await page.waitForTimeout(500);
    await page.evaluate(() => window.scrollTo(0, 0));
    await page.waitForTimeout(500);
    await page.screenshot({ path: `${directory}/${device}-${colorScheme}.png`, fullPage: true });
    await browser.close();
  }
