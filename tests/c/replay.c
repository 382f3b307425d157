/* Replays a transcript of tests/vectors, in the form into which programs.rs brings it: lines of words that are separated
 * by tabs. argv[1] is an empty directory, argv[2] the script.
 *
 *     option NAME VALUE             before the first call
 *     call handle_chunk|get|take|list
 *     NAME VALUE                    an argument of the call; a uid may be $variable
 *     content HEX SIZE              the pattern, over and over, up to the size
 *     expect NAME VALUE...          a fact
 *     save_uid VARIABLE
 *     end                           now do it
 */

#include "check.h"

#include <dirent.h>
#include <unistd.h>

enum { LINE = 1 << 16, FACTS = 16, VARIABLES = 16 };

typedef struct fact {
    char name[32];
    char *value;
} fact;

typedef struct bytes {
    char *start;
    size_t size;
} bytes;

typedef struct step {
    char call[32];
    char uid[256];
    char *file_name;
    uint64_t total_size, chunk_number, chunk_count;
    bytes content, expected_content;
    fact facts[FACTS];
    size_t fact_count;
    char save_uid[32];
} step;

/* What a call answered. */
typedef struct outcome {
    upload_result result;
    upload_error *error;
    upload_receipt receipt;
    upload_finished *finished;
    uint64_t entries;
} outcome;

static struct {
    char name[32];
    char uid[UPLOAD_UID_SIZE];
} variables[VARIABLES];
static size_t variable_count;
static const char *script_path;
static unsigned line_number;

static void fail(const char *what, const char *name, const char *value)
{
    fprintf(stderr, "%s:%u: %s: %s %s\n", script_path, line_number, what, name, value);
    abort();
}

static void copy(char *to, size_t size, const char *from)
{
    if (strlen(from) >= size)
        fail("too long", from, "");
    memcpy(to, from, strlen(from) + 1);
}

static uint64_t number_of(const char *text)
{
    char *end;
    const unsigned long long number = strtoull(text, &end, 10);
    if (*text == 0 || *end != 0)
        fail("not a number", text, "");
    return number;
}

static char *duplicate(const char *text)
{
    char *const twin = strdup(text);
    CHECK(twin != NULL);
    return twin;
}

static bytes pattern_of(const char *hex, const char *size)
{
    const size_t period = strlen(hex) / 2;
    bytes content;
    size_t i;
    content.size = (size_t)number_of(size);
    content.start = (char *)malloc(content.size + 1);
    CHECK(content.start != NULL && (period > 0 || content.size == 0));
    for (i = 0; i < content.size; i++) {
        unsigned byte;
        CHECK(sscanf(hex + 2 * (i % period), "%2x", &byte) == 1);
        content.start[i] = (char)byte;
    }
    return content;
}

static const char *uid_of(const char *text)
{
    size_t i;
    if (text[0] != '$')
        return text;
    for (i = 0; i < variable_count; i++)
        if (strcmp(variables[i].name, text + 1) == 0)
            return variables[i].uid;
    fail("no such variable", text, "");
    return NULL;
}

static void set_option(upload_options *options, const char *name, const char *value)
{
    upload_result result = UPLOAD_INTERNAL;
    if (strcmp(name, "max_total_size") == 0)
        result = upload_options_set_max_total_size(options, number_of(value));
    else if (strcmp(name, "max_chunk_count") == 0)
        result = upload_options_set_max_chunk_count(options, number_of(value));
    else if (strcmp(name, "min_free_space") == 0)
        result = upload_options_set_min_free_space(options, number_of(value));
    else if (strcmp(name, "prefix") == 0)
        result = upload_options_set_prefix(options, value);
    else if (strcmp(name, "dir_mode") == 0)
        result = upload_options_set_dir_mode(options, (uint32_t)number_of(value));
    else if (strcmp(name, "file_mode") == 0)
        result = upload_options_set_file_mode(options, (uint32_t)number_of(value));
    else if (strcmp(name, "durability") == 0)
        result = upload_options_set_durability(options, strcmp(value, "chunk") == 0      ? UPLOAD_DURABILITY_CHUNK
                                                        : strcmp(value, "complete") == 0 ? UPLOAD_DURABILITY_COMPLETE
                                                                                         : UPLOAD_DURABILITY_PROCESS);
    if (result != UPLOAD_OK)
        fail("option", name, value);
}

static void set_argument(step *todo, char **words, size_t count)
{
    const char *name = words[0], *value = count > 1 ? words[1] : "";
    if (strcmp(name, "call") == 0)
        copy(todo->call, sizeof todo->call, value);
    else if (strcmp(name, "upload_uid") == 0 || strcmp(name, "uid") == 0)
        copy(todo->uid, sizeof todo->uid, uid_of(value));
    else if (strcmp(name, "file_name") == 0)
        todo->file_name = duplicate(value);
    else if (strcmp(name, "total_size") == 0)
        todo->total_size = number_of(value);
    else if (strcmp(name, "chunk_number") == 0)
        todo->chunk_number = number_of(value);
    else if (strcmp(name, "chunk_count") == 0)
        todo->chunk_count = number_of(value);
    else if (strcmp(name, "content") == 0 && count == 3)
        todo->content = pattern_of(value, words[2]);
    else if (strcmp(name, "save_uid") == 0)
        copy(todo->save_uid, sizeof todo->save_uid, value);
    else if (strcmp(name, "expect") == 0 && count == 4 && strcmp(value, "content") == 0) {
        todo->expected_content = pattern_of(words[2], words[3]);
    } else if (strcmp(name, "expect") == 0 && count == 3 && todo->fact_count < FACTS) {
        fact *added = &todo->facts[todo->fact_count++];
        copy(added->name, sizeof added->name, value);
        added->value = duplicate(words[2]);
    } else
        fail("not understood", name, value);
}

/* Moves the finished file out of the store. */
static void take(const upload_store *store, const char *uid, const char *directory)
{
    static unsigned taken;
    upload_finished *finished = NULL;
    char name[32];
    snprintf(name, sizeof name, "taken%u", taken++);
    CHECK_RESULT(UPLOAD_OK, upload_get(store, uid, &finished, NULL));
    CHECK(rename(upload_finished_path(finished), join(directory, name)) == 0);
    upload_finished_free(finished);
}

static uint64_t count_entries(const char *directory)
{
    const struct dirent *entry;
    uint64_t count = 0;
    DIR *stream = opendir(join(directory, "store"));
    if (stream == NULL)
        return 0;
    while ((entry = readdir(stream)) != NULL)
        count += entry->d_name[0] != '.' || (entry->d_name[1] != 0 && entry->d_name[1] != '.');
    closedir(stream);
    return count;
}

static outcome call(const upload_store *store, const char *directory, const step *todo)
{
    outcome got = {UPLOAD_OK, NULL, UPLOAD_RECEIPT_INIT, NULL, 0};
    if (strcmp(todo->call, "handle_chunk") == 0) {
        upload_chunk chunk = UPLOAD_CHUNK_INIT;
        chunk.upload_uid = todo->uid;
        chunk.file_name = todo->file_name;
        chunk.total_size = todo->total_size;
        chunk.chunk_number = todo->chunk_number;
        chunk.chunk_count = todo->chunk_count;
        chunk.content = todo->content.start;
        chunk.content_size = todo->content.size;
        got.result = upload_handle_chunk(store, &chunk, &got.receipt, &got.error);
    } else if (strcmp(todo->call, "get") == 0)
        got.result = upload_get(store, todo->uid, &got.finished, &got.error);
    else if (strcmp(todo->call, "take") == 0)
        take(store, todo->uid, directory);
    else if (strcmp(todo->call, "list") == 0)
        got.entries = count_entries(directory);
    else
        fail("not understood", "call", todo->call);
    return got;
}

static void check_fact(const outcome *got, const char *name, const char *value)
{
    char text[32];
    const char *shown = text;
    uint64_t number = 0;
    if (strcmp(name, "result") == 0)
        shown = upload_result_name((int32_t)got->result);
    else if (strcmp(name, "file_name") == 0)
        shown = upload_finished_file_name(got->finished);
    else if (strcmp(name, "limit") == 0)
        shown = upload_error_limit(got->error);
    else if (strcmp(name, "received_all") == 0)
        shown = got->receipt.received_all ? "true" : "false";
    else if (strcmp(name, "total_size") == 0)
        number = upload_finished_total_size(got->finished);
    else if (strcmp(name, "crc32c") == 0)
        number = upload_finished_crc32c(got->finished);
    else if (strcmp(name, "missing_count") == 0)
        number = upload_error_missing_count(got->error);
    else if (strcmp(name, "first_missing") == 0)
        number = upload_error_first_missing(got->error);
    else if (strcmp(name, "limit_value") == 0)
        number = upload_error_limit_value(got->error);
    else if (strcmp(name, "received_size") == 0)
        number = upload_error_received_size(got->error);
    else if (strcmp(name, "declared_size") == 0)
        number = upload_error_declared_size(got->error);
    else if (strcmp(name, "entries") == 0)
        number = got->entries;
    else
        fail("not understood", "expect", name);
    snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    if (shown == NULL || strcmp(shown, value) != 0) {
        fprintf(stderr, "%s is %s: %s\n", name, shown == NULL ? "(NULL)" : shown, upload_error_message(got->error));
        fail("expected", name, value);
    }
}

static void perform(const upload_store *store, const char *directory, step *todo)
{
    outcome got = call(store, directory, todo);
    size_t i;
    for (i = 0; i < todo->fact_count; i++) {
        check_fact(&got, todo->facts[i].name, todo->facts[i].value);
        free(todo->facts[i].value);
    }
    if (todo->expected_content.start != NULL)
        check_file(upload_finished_path(got.finished), todo->expected_content.start, todo->expected_content.size);
    if (todo->save_uid[0] != 0) {
        CHECK(variable_count < VARIABLES);
        copy(variables[variable_count].name, sizeof variables[0].name, todo->save_uid);
        copy(variables[variable_count++].uid, UPLOAD_UID_SIZE, got.receipt.upload_uid);
    }
    upload_finished_free(got.finished);
    upload_error_free(got.error);
    free(todo->file_name);
    free(todo->content.start);
    free(todo->expected_content.start);
    memset(todo, 0, sizeof *todo);
}

int main(int argc, char **argv)
{
    static char line[LINE];
    static step todo;
    upload_options *options = upload_options_new();
    upload_store *store = NULL;
    FILE *script;

    CHECK(argc == 3);
    script_path = argv[2];
    script = fopen(script_path, "r");
    CHECK(script != NULL);
    while (fgets(line, LINE, script) != NULL) {
        char *words[4] = {NULL, NULL, NULL, NULL}, *rest = line;
        size_t count = 0;
        line_number++;
        line[strcspn(line, "\n")] = 0;
        while (rest != NULL && count < 4)
            words[count++] = strsep(&rest, "\t");
        if (strcmp(words[0], "option") == 0 && count == 3) {
            set_option(options, words[1], words[2]);
            continue;
        }
        if (store == NULL)
            CHECK_RESULT(UPLOAD_OK, upload_store_open(join(argv[1], "store"), options, &store, NULL));
        if (strcmp(words[0], "end") == 0)
            perform(store, argv[1], &todo);
        else
            set_argument(&todo, words, count);
    }
    fclose(script);
    upload_options_free(options);
    upload_store_free(store);
    return 0;
}
