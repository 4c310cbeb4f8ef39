/* SPDX-License-Identifier: MIT
 * server_pipe.c: a server with one client, which is its standard input and output.
 *
 *     server_pipe [NAME VALUE]...
 *
 * with settings as CONFIG SET takes them. The differential test speaks to it as to a socket. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "output.h"
#include "server_fixture.h"

static bool write_all(const char *data, size_t size)
{
    while (size > 0) {
        ssize_t written = write(STDOUT_FILENO, data, size);
        if (written <= 0)
            return false;
        data += written;
        size -= (size_t)written;
    }
    return true;
}

int main(int argc, char **argv)
{
    struct server *server = fixture_server(1);
    for (int i = 1; i + 1 < argc; i += 2)
        fixture_set(server, argv[i], argv[i + 1]);
    struct client *client = client_new(server, 0);
    if (client == NULL)
        return 1;
    char input[65536];
    bitcask_buffer output = {0};
    ssize_t size;
    bool going = true;
    while (going && (size = read(STDIN_FILENO, input, sizeof input)) > 0) {
        client_feed(client, input, (size_t)size);
        going = output_take(client->out, &output) == BITCASK_OK &&
                write_all(output.data, output.size) &&
                (client->flags & (CLIENT_CLOSE_AFTER_REPLY | CLIENT_CLOSE_NOW)) == 0;
    }
    bitcask_buffer_free(&output);
    client_free(client);
    fixture_server_free(server);
    return 0;
}
