/* SPDX-License-Identifier: MIT
 * web_assets.h: the dashboard's files, as bundle.py makes them at build time. */
#ifndef SERVER_WEB_ASSETS_H
#define SERVER_WEB_ASSETS_H

#include <stddef.h>

struct web_asset {
    const char *type; /* Content-Type */
    const char *tag;  /* ETag, with its quotes: a hash of the bytes */
    const void *data;
    size_t size;
};

extern const struct web_asset web_page, web_script, web_style, web_icon, web_openapi;

#endif
