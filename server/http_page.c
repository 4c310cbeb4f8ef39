/* SPDX-License-Identifier: MIT
 * http_page.c: the dashboard and the OpenAPI file, which are part of the program (web/). */
#include <string.h>

#include "http_request.h"
#include "web_assets.h"

/* The page loads nothing from elsewhere, and is in nobody's frame. */
static const char PAGE_POLICY[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

static void reply_asset(struct http_request *request, const struct web_asset *asset)
{
    const char *known = http_header(request, "If-None-Match");
    if (known != NULL && strcmp(known, asset->tag) == 0)
        http_reply_empty(request, 304);
    else
        http_reply_static(request, asset->type, bitcask_bytes(asset->data, asset->size));
    if (request->response == NULL)
        return;
    /* kept by the browser, and asked for each time: a new program brings a new page */
    MHD_del_response_header(request->response, "Cache-Control", "no-store");
    http_add_header(request, "Cache-Control", "no-cache");
    http_add_header(request, "ETag", asset->tag);
    http_add_header(request, "Content-Security-Policy", PAGE_POLICY);
    http_add_header(request, "X-Frame-Options", "DENY");
}

/* People get the page; pybitcask's clients ask the same path for the server's state. */
void http_page(struct http_request *request)
{
    const char *accept = http_header(request, "Accept");
    if (accept != NULL && strstr(accept, "text/html") != NULL)
        reply_asset(request, &web_page);
    else
        http_pyb_root(request);
}

void http_page_script(struct http_request *request)
{
    reply_asset(request, &web_script);
}

void http_page_style(struct http_request *request)
{
    reply_asset(request, &web_style);
}

void http_page_icon(struct http_request *request)
{
    reply_asset(request, &web_icon);
}

void http_openapi(struct http_request *request)
{
    reply_asset(request, &web_openapi);
}
