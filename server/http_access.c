/* SPDX-License-Identifier: MIT
 * http_access.c: who may ask for what.
 *
 * In this order:
 * 1. The peer. Without passwords only this machine's own processes are served (protected-mode).
 * 2. Host. A page that an attacker's name server has moved to our address (DNS rebinding) sends its
 *    own name there. So a Host must be an address, localhost, or a name of the setting http-hosts.
 * 3. Origin and Sec-Fetch-Site. What a browser sends on behalf of another site is refused,
 *    whatever it asks for; there is no CORS. Following a link to the page is fine.
 * 4. The password: HTTP Basic with the users of the ACL; the user "default" if it has none.
 * 5. The token. What changes something and comes from a browser, and every administration, carries
 *    the token that only the page can have read (X-CSRF-Token; from /v1/session).
 * 6. The ACL's commands and keys. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "command.h"
#include "http_request.h"
#include "metrics.h"
#include "settings.h"

/* ---- The peer, Host and Origin ----------------------------------------------------------------
 */

static bool is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)address;
        return ntohl(in->sin_addr.s_addr) >> 24 == 127;
    }
    if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *)address;
        return IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr) ||
               (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr) && in6->sin6_addr.s6_addr[12] == 127);
    }
    return false;
}

static const struct sockaddr *peer_of(const struct http_request *request)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    return info == NULL ? NULL : info->client_addr;
}

/* "127.0.0.1:0", as the Redis side writes addresses; failures are counted by it. */
static void peer_name(const struct http_request *request, char name[64])
{
    char text[INET6_ADDRSTRLEN] = "?";
    const struct sockaddr *peer = peer_of(request);
    if (peer != NULL && peer->sa_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)peer)->sin_addr, text,
                  sizeof text);
    else if (peer != NULL && peer->sa_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr, text,
                  sizeof text);
    snprintf(name, 64, "%s:0", text);
}

static bool peer_is_local(const struct http_request *request)
{
    const struct sockaddr *peer = peer_of(request);
    return peer != NULL && is_loopback(peer);
}

/* The host of "host", "host:port", "[v6]:port", lower case, without a dot at its end. */
static bool host_name(const char *host, char name[256])
{
    size_t size = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
    if (size == 0 || size >= 256 || size > strlen(host))
        return false;
    for (size_t i = 0; i < size; i++)
        name[i] = host[i] >= 'A' && host[i] <= 'Z' ? (char)(host[i] + 32) : host[i];
    if (size > 1 && name[size - 1] == '.')
        size--;
    name[size] = '\0';
    const char *port = host + size;
    return *port == '\0' || *port == '.' || (*port == ':' && strlen(port) <= 6);
}

static bool is_address(char *name)
{
    struct in6_addr address;
    size_t size = strlen(name);
    if (name[0] == '[' && name[size - 1] == ']') {
        name[size - 1] = '\0';
        bool works = inet_pton(AF_INET6, name + 1, &address) == 1;
        name[size - 1] = ']';
        return works;
    }
    return inet_pton(AF_INET, name, &address) == 1;
}

static bool is_listed(const char *list, const char *name)
{
    size_t size = strlen(name);
    for (const char *at = list; *at != '\0';) {
        size_t word = strcspn(at, " ,");
        if (word == size && strncasecmp(at, name, size) == 0)
            return true;
        at += word;
        at += strspn(at, " ,");
    }
    return false;
}

bool http_host_is_ours(const struct server *server, const char *host)
{
    char name[256];
    if (!host_name(host, name))
        return false;
    size_t size = strlen(name);
    return is_address(name) || strcmp(name, "localhost") == 0 ||
           (size > 10 && strcmp(name + size - 10, ".localhost") == 0) ||
           is_listed(setting_text(server->settings, SETTING_HTTP_HOSTS), name);
}

static bool origin_is_ours(const char *origin, const char *host)
{
    const char *place = strstr(origin, "://");
    return place != NULL && host != NULL && strcasecmp(place + 3, host) == 0;
}

static enum MHD_Result count_host(void *context, enum MHD_ValueKind kind, const char *name,
                                  const char *value)
{
    (void)kind, (void)value;
    *(unsigned *)context += strcasecmp(name, "Host") == 0;
    return MHD_YES;
}

static bool check_browser(struct http_request *request, bool *browser)
{
    const char *host = http_header(request, "Host");
    const char *origin = http_header(request, "Origin");
    const char *site = http_header(request, "Sec-Fetch-Site");
    const char *mode = http_header(request, "Sec-Fetch-Mode");
    unsigned hosts = 0;
    *browser = origin != NULL || site != NULL;
    MHD_get_connection_values(request->connection, MHD_HEADER_KIND, count_host, &hosts);
    if (hosts > 1) {
        http_reply_error(request, 400, "more than one Host");
        return false;
    }
    if (host != NULL && !http_host_is_ours(request->server, host)) {
        http_reply_error(request, 421,
                         "the name in Host is none of this server's; allow it with the setting "
                         "http-hosts");
        return false;
    }
    bool navigates =
        mode != NULL && strcmp(mode, "navigate") == 0 && (request->route->flags & HTTP_WRITES) == 0;
    bool foreign = site != NULL && strcmp(site, "same-origin") != 0 && strcmp(site, "none") != 0;
    if ((origin != NULL && !origin_is_ours(origin, host)) || (foreign && !navigates)) {
        http_reply_error(request, 403, "requests of other sites' pages are refused");
        return false;
    }
    return true;
}

/* ---- Passwords and tokens ----------------------------------------------------------------------
 */

static void ask_for_password(struct http_request *request, const char *why)
{
    http_reply_error(request, 401, "%s", why);
    http_add_header(request, "WWW-Authenticate", "Basic realm=\"bitcask\", charset=\"UTF-8\"");
}

/* HTTP Basic: base64 of NAME:PASSWORD; no name means the user "default". */
static struct acl_user *user_of_header(struct http_request *request, const char *header)
{
    struct text decoded = {0};
    struct acl_user *user = NULL;
    char address[64];
    peer_name(request, address);
    const char *colon = NULL;
    if (strncasecmp(header, "Basic ", 6) == 0 &&
        text_from_base64(&decoded, bitcask_str(header + 6 + strspn(header + 6, " "))))
        colon = memchr(decoded.data, ':', decoded.size);
    if (colon != NULL) {
        size_t size = (size_t)(colon - decoded.data);
        bitcask_slice name = size > 0 ? bitcask_bytes(decoded.data, size) : bitcask_str("default");
        bitcask_slice password = bitcask_bytes(colon + 1, decoded.size - size - 1);
        user =
            acl_login(request->server->acl, address,
                      setting_number(request->server->settings, SETTING_AUTH_FAILURES_PER_MINUTE),
                      server_monotonic_us(), name, password);
    }
    if (decoded.data != NULL)
        OPENSSL_cleanse(decoded.data, decoded.size);
    text_release(&decoded);
    return user;
}

static bool authenticate(struct http_request *request)
{
    const char *header = http_header(request, "Authorization");
    if (header != NULL) {
        request->user = user_of_header(request, header);
        if (request->user == NULL) {
            metrics_add(request->server->metrics, request->worker->slot, METRIC_AUTH_FAILURES, 1);
            ask_for_password(request, "no such user, or not this password");
        }
        return request->user != NULL;
    }
    if (acl_default_is_open(request->server->acl))
        request->user = acl_user_find(request->server->acl, bitcask_str("default"));
    if (request->user == NULL)
        ask_for_password(request, "a password is needed");
    return request->user != NULL;
}

void http_token(const struct http *http, const struct acl_user *user, char token[65])
{
    unsigned char mac[32];
    unsigned size = sizeof mac;
    const char *name = acl_user_name(user);
    if (HMAC(EVP_sha256(), http->secret, sizeof http->secret, (const unsigned char *)name,
             strlen(name), mac, &size) == NULL)
        memset(mac, 0, sizeof mac); /* unreachable but for want of memory; see check_token */
    for (int i = 0; i < 32; i++)
        sprintf(token + 2 * i, "%02x", mac[i]);
}

static bool check_token(struct http_request *request)
{
    char token[65];
    const char *given = http_header(request, "X-CSRF-Token");
    http_token(request->http, request->user, token);
    if (given != NULL && strlen(given) == 64 && strspn(token, "0") < 64 &&
        CRYPTO_memcmp(given, token, 64) == 0)
        return true;
    http_reply_error(request, 403,
                     "the header X-CSRF-Token must hold the \"token\" that GET /v1/session gives");
    return false;
}

/* ---- The ACL -----------------------------------------------------------------------------------
 */

bool http_user_may(struct acl_user *user, const char *name, bitcask_slice key)
{
    bitcask_slice words[3];
    size_t count = 0, which = 0;
    const char *bar = strchr(name, '|');
    words[count++] = bar == NULL ? bitcask_str(name) : bitcask_bytes(name, (size_t)(bar - name));
    if (bar != NULL)
        words[count++] = bitcask_str(bar + 1);
    if (key.data != NULL)
        words[count++] = key;
    const struct command *command = command_resolve(words, count);
    struct command_call call = {command, words, count};
    return command != NULL && acl_check(user, &call, &which) == ACL_ALLOWED;
}

bool http_may(struct http_request *request, const char *command, bitcask_slice key)
{
    if (http_user_may(request->user, command, key))
        return true;
    metrics_add(request->server->metrics, request->worker->slot, METRIC_ACL_DENIED, 1);
    http_reply_error(request, 403, "the user '%s' has no permission for this ('%s'%s)",
                     acl_user_name(request->user), command, key.data == NULL ? "" : " on this key");
    return false;
}

bool http_access(struct http_request *request)
{
    const struct http_route *route = request->route;
    bool browser;
    bool open = (route->flags & HTTP_OPEN) != 0;
    if (!open && !peer_is_local(request) && acl_default_is_open(request->server->acl) &&
        setting_number(request->server->settings, SETTING_PROTECTED_MODE) != 0) {
        http_reply_error(request, 403,
                         "protected mode: no password is set, so only this machine is served; set "
                         "requirepass, or protected-mode no");
        return false;
    }
    if (!check_browser(request, &browser))
        return false;
    if (open)
        return true;
    if (!authenticate(request))
        return false;
    if ((route->flags & HTTP_TOKEN) != 0 || (browser && (route->flags & HTTP_WRITES) != 0))
        if (!check_token(request))
            return false;
    bitcask_slice key = {0};
    if ((route->flags & HTTP_REST) != 0)
        key = http_rest(request);
    return route->command == NULL || http_may(request, route->command, key);
}
