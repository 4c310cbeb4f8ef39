/* SPDX-License-Identifier: MIT
 * notify.h: what systemd is told (sd_notify's protocol: a datagram to $NOTIFY_SOCKET). */
#ifndef SERVER_NOTIFY_H
#define SERVER_NOTIFY_H

/* "READY=1", "STOPPING=1". Does nothing where nobody asks; a failure is nobody's business. */
void notify_supervisor(const char *state);

#endif
