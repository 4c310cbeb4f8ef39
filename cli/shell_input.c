/* SPDX-License-Identifier: MIT
 * shell_input.c: lines for the shell, typed or of a script, and their history. */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shell.h"

/* ---- Lines of a script, and of a terminal without libedit ------------------------------------ */

/* The commands must not read the lines that are to be run: what they get instead of the standard
 * input cannot be read at all, so that `put KEY -` is an error and not an empty value. */
static int take_standard_input(struct shell_input *input)
{
    int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    int nothing = open("/dev/null", O_WRONLY | O_CLOEXEC);
    input->script = fd < 0 ? NULL : fdopen(fd, "r");
    bool done = input->script != NULL && nothing >= 0 && dup2(nothing, STDIN_FILENO) >= 0;
    int result = done ? CLI_DONE : cli_fail_errno(input->session->cli, "cannot read the script");
    if (input->script == NULL && fd >= 0)
        close(fd);
    if (nothing >= 0)
        close(nothing);
    return result;
}

/* A line of a terminal: byte by byte, so that what follows is left to the command, and so that
 * Ctrl-C is heard. */
static ssize_t typed_line(struct shell_input *input, size_t *capacity)
{
    size_t size = 0;
    for (;;) {
        if (size + 2 > *capacity) {
            char *grown = realloc(input->edited, *capacity * 2 + 128);
            if (grown == NULL)
                return -1;
            input->edited = grown;
            *capacity = *capacity * 2 + 128;
        }
        ssize_t got = cli_read(STDIN_FILENO, input->edited + size, 1);
        if (got < 0 || (got == 0 && size == 0))
            return -1;
        if (got == 0 || input->edited[size++] == '\n')
            break;
    }
    input->edited[size] = '\0';
    return (ssize_t)size;
}

static const char *plain_line(struct shell_input *input, const char *prompt)
{
    size_t capacity = 0;
    free(input->edited);
    input->edited = NULL;
    if (input->terminal) {
        fputs(prompt, stdout);
        fflush(stdout);
    }
    errno = 0;
    ssize_t size = input->terminal ? typed_line(input, &capacity)
                                   : getline(&input->edited, &capacity, input->script);
    if (size < 0) {
        input->interrupted = input->terminal && errno == EINTR;
        if (input->terminal)
            putchar('\n');
        return NULL;
    }
    if (memchr(input->edited, '\0', (size_t)size) != NULL) {
        errno = EILSEQ; /* no text: a line cannot hold a NUL byte */
        return NULL;
    }
    input->edited[strcspn(input->edited, "\n")] = '\0';
    return input->edited;
}

#ifdef HAVE_LIBEDIT
#include <histedit.h>

enum { HISTORY_MAX = 1000, HISTORY_BYTES = 1 << 20, INSERT_SIZE = 4096 };

/* ---- Keys that are pressed ------------------------------------------------------------------- */

static char *prompt_of(EditLine *editor)
{
    struct shell_input *input;
    static char text[32];
    el_get(editor, EL_CLIENTDATA, &input);
    snprintf(text, sizeof(text), "%s", input->prompt);
    return text;
}

/* Ctrl-C: the line is taken back. */
static unsigned char press_interrupt(EditLine *editor, int key)
{
    (void)key;
    struct shell_input *input;
    el_get(editor, EL_CLIENTDATA, &input);
    input->interrupted = true;
    fputs("^C", stdout);
    return CC_NEWLINE;
}

static void print_offers(const struct shell_offers *offers)
{
    struct winsize window;
    size_t columns =
        ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0 ? window.ws_col : 80;
    char shown[INSERT_SIZE];
    size_t width = 0;
    for (size_t i = 0; i < offers->count; i++)
        if (cli_words_quote(shown, sizeof(shown), CLI_WORDS_WHOLE, offers->word[i]))
            width = strlen(shown) > width ? strlen(shown) : width;
    size_t across = width + 2 < columns ? columns / (width + 2) : 1;
    for (size_t i = 0; i < offers->count; i++) {
        if (!cli_words_quote(shown, sizeof(shown), CLI_WORDS_WHOLE, offers->word[i]))
            snprintf(shown, sizeof(shown), "...");
        printf("%s%-*s", i % across == 0 ? "\n" : "", (int)width + 2, shown);
    }
    puts(offers->more ? "\n..." : "");
}

/* What is new of the word, closed if it is the only one. False if there is nothing to insert. */
static bool insert_offer(EditLine *editor, const struct shell_offers *offers)
{
    char added[INSERT_SIZE], quoted[INSERT_SIZE + 8];
    size_t common = shell_offers_common(offers);
    if (offers->count == 0 || common < offers->typed || common - offers->typed >= sizeof(added))
        return false;
    const char *word = offers->word[0];
    snprintf(added, sizeof(added), "%.*s", (int)(common - offers->typed), word + offers->typed);
    if (!cli_words_quote(quoted, INSERT_SIZE, offers->quote, added))
        return false;
    bool directory = common > 0 && word[common - 1] == '/';
    if (offers->count == 1 && !offers->more && !directory) {
        const char *close = offers->quote == CLI_WORDS_SINGLE   ? "' "
                            : offers->quote == CLI_WORDS_DOUBLE ? "\" "
                                                                : " ";
        size_t size = strlen(quoted);
        snprintf(quoted + size, sizeof(quoted) - size, "%s", close);
    }
    return quoted[0] != '\0' && el_insertstr(editor, quoted) == 0;
}

static unsigned char press_complete(EditLine *editor, int key)
{
    (void)key;
    struct shell_input *input;
    el_get(editor, EL_CLIENTDATA, &input);
    const LineInfo *line = el_line(editor);
    char *text = strndup(line->buffer, (size_t)(line->cursor - line->buffer));
    if (text == NULL)
        return CC_ERROR;
    struct shell_offers offers;
    shell_complete(input->session, text, &offers);
    free(text);
    unsigned char result = CC_ERROR;
    if (insert_offer(editor, &offers)) {
        result = CC_REFRESH;
    } else if (offers.count > 1) {
        print_offers(&offers);
        result = CC_REDISPLAY;
    }
    shell_offers_free(&offers);
    return result;
}

/* ---- History --------------------------------------------------------------------------------- */

/* mkdir -p of all but the last part of `path`, which is left as it was. */
static bool make_parents(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        bool there = mkdir(path, 0700) == 0 || errno == EEXIST;
        *slash = '/';
        if (!there)
            return false;
    }
    return true;
}

static char *history_path(void)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    char *path = NULL;
    int size = -1;
    if (state != NULL && state[0] == '/')
        size = asprintf(&path, "%s/bitcask/history", state);
    else if (home != NULL && home[0] == '/')
        size = asprintf(&path, "%s/.local/state/bitcask/history", home);
    return size < 0 ? NULL : path;
}

/* No history is no reason not to begin: values may be typed in a home that cannot be written. */
static void open_history(struct shell_input *input, bool keep)
{
    HistEvent event;
    input->history = history_init();
    if (input->history == NULL)
        return;
    history(input->history, &event, H_SETSIZE, HISTORY_MAX);
    el_set(input->editor, EL_HIST, history, input->history);
    char *path = keep ? history_path() : NULL;
    if (path == NULL)
        return;
    /* Made with its mode: what is typed is for nobody else's eyes. */
    int fd = make_parents(path) ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (fd < 0 || fchmod(fd, 0600) != 0) {
        cli_remark(input->session->cli, "no history is kept: cannot write %s: %s", path,
                   strerror(errno));
        free(path);
    } else {
        struct stat info;
        history(input->history, &event, H_LOAD, path);
        if (fstat(fd, &info) == 0 && info.st_size > HISTORY_BYTES)
            history(input->history, &event, H_SAVE, path); /* the newest only */
        input->history_file = path;
    }
    if (fd >= 0)
        close(fd);
}

/* As libedit writes it, whose own functions write all of the history or, by version, one too many.
 */
static void append_history(const char *path, const char *text)
{
    FILE *out = fopen(path, "ae");
    if (out == NULL)
        return;
    fseek(out, 0, SEEK_END);
    if (ftell(out) == 0)
        fputs("_HiStOrY_V2_\n", out);
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c > ' ' && c < 0x7F && c != '\\')
            putc(c, out);
        else
            fprintf(out, "\\%03o", c);
    }
    putc('\n', out);
    fclose(out);
}

void shell_input_remember(struct shell_input *input, const char *text)
{
    HistEvent event;
    if (input->history == NULL || (input->last != NULL && strcmp(input->last, text) == 0))
        return;
    free(input->last);
    input->last = strdup(text);
    history(input->history, &event, H_ENTER, text);
    /* At once: another shell's lines are kept, and a kill loses none. */
    if (input->history_file != NULL)
        append_history(input->history_file, text);
}

/* ---- The editor ------------------------------------------------------------------------------ */

static void open_editor(struct shell_input *input, bool keep_history)
{
    setlocale(LC_CTYPE, ""); /* what counts as one character to move over */
    EditLine *editor = el_init("bitcask", stdin, stdout, stderr);
    input->editor = editor;
    if (editor == NULL)
        return;
    el_set(editor, EL_CLIENTDATA, input);
    el_set(editor, EL_PROMPT, prompt_of);
    el_set(editor, EL_EDITOR, "emacs");
    el_set(editor, EL_ADDFN, "bitcask-complete", "complete the word", press_complete);
    el_set(editor, EL_ADDFN, "bitcask-interrupt", "take the line back", press_interrupt);
    el_set(editor, EL_BIND, "^R", "em-inc-search-prev", NULL);
    el_source(editor, NULL); /* ~/.editrc */
    el_set(editor, EL_BIND, "^I", "bitcask-complete", NULL);
    el_set(editor, EL_BIND, "^C", "bitcask-interrupt", NULL);
    el_set(editor, EL_SETTY, "-d", "-isig", NULL); /* Ctrl-C is a key while a line is edited */
    open_history(input, keep_history);
}

static void close_editor(struct shell_input *input)
{
    if (input->editor != NULL)
        el_end(input->editor);
    if (input->history != NULL)
        history_end(input->history);
}

static const char *edited_line(struct shell_input *input, const char *prompt)
{
    int size = 0;
    input->prompt = prompt;
    fflush(stdout);
    el_set(input->editor, EL_PREP_TERM,
           1); /* else keys pressed at the prompt could come too early */
    const char *line = el_gets(input->editor, &size);
    if (input->interrupted) {
        putchar('\n');
        return NULL;
    }
    if (line == NULL || size <= 0) {
        errno = 0;
        putchar('\n');
        return NULL;
    }
    free(input->edited);
    input->edited = strndup(line, strcspn(line, "\n"));
    return input->edited;
}

#else

void shell_input_remember(struct shell_input *input, const char *text)
{
    (void)input;
    (void)text;
}

static void open_editor(struct shell_input *input, bool keep_history)
{
    (void)input;
    (void)keep_history;
}

static void close_editor(struct shell_input *input)
{
    (void)input;
}

static const char *edited_line(struct shell_input *input, const char *prompt)
{
    return plain_line(input, prompt);
}

#endif

/* ---- Both --------------------------------------------------------------------------------------
 */

int shell_input_open(struct shell_input *input, struct cli_session *session, bool keep_history)
{
    *input = (struct shell_input){.session = session};
    input->terminal = session->cli->stdin_tty && session->cli->stdout_tty;
    if (!input->terminal)
        return take_standard_input(input);
    open_editor(input, keep_history);
    return CLI_DONE;
}

void shell_input_close(struct shell_input *input)
{
    close_editor(input);
    if (input->script != NULL)
        fclose(input->script);
    free(input->history_file);
    free(input->edited);
    free(input->last);
}

const char *shell_input_line(struct shell_input *input, const char *prompt)
{
    input->interrupted = false;
    const char *line =
        input->editor != NULL ? edited_line(input, prompt) : plain_line(input, prompt);
    input->number += line != NULL;
    return line;
}
