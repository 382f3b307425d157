/* Replays a transcript of tests/vectors, in the form into which programs.rs brings it: lines of words that are separated
 * by tabs. argv[1] is an empty directory, argv[2] the script.
 *
 *     option NAME VALUE             before the first call
 *     call NAME                     see tests/vectors/README.md
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
    char other[256];
    char *file_name, *upload_key, *checksum, *file_digest, *owner, *name, *destination;
    int32_t overwrite, dry_run;
    uint64_t total_size, chunk_number, chunk_count, from_chunk, at;
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
    upload_inspection *inspection;
    upload_verification *verification;
    upload_cleaned cleaned;
    uint64_t uploads, entries;
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
    else if (strcmp(name, "max_store_size") == 0)
        result = upload_options_set_max_store_size(options, number_of(value));
    else if (strcmp(name, "max_uploads") == 0)
        result = upload_options_set_max_uploads(options, number_of(value));
    else if (strcmp(name, "all_owners") == 0)
        result = upload_options_set_all_owners(options, strcmp(value, "true") == 0);
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
    else if (strcmp(name, "other") == 0)
        copy(todo->other, sizeof todo->other, uid_of(value));
    else if (strcmp(name, "file_name") == 0)
        todo->file_name = duplicate(value);
    else if (strcmp(name, "upload_key") == 0)
        todo->upload_key = duplicate(value);
    else if (strcmp(name, "checksum") == 0)
        todo->checksum = duplicate(value);
    else if (strcmp(name, "file_digest") == 0)
        todo->file_digest = duplicate(value);
    else if (strcmp(name, "owner") == 0)
        todo->owner = duplicate(value);
    else if (strcmp(name, "name") == 0)
        todo->name = duplicate(value);
    else if (strcmp(name, "destination") == 0)
        todo->destination = duplicate(value);
    else if (strcmp(name, "overwrite") == 0)
        todo->overwrite = strcmp(value, "true") == 0;
    else if (strcmp(name, "dry_run") == 0)
        todo->dry_run = strcmp(value, "true") == 0;
    else if (strcmp(name, "from_chunk") == 0)
        todo->from_chunk = number_of(value);
    else if (strcmp(name, "at") == 0)
        todo->at = number_of(value);
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

/* Flips a bit of a stored byte. */
static void damage(const char *directory, const step *todo)
{
    char path[4096];
    FILE *file;
    int byte;
    snprintf(path, sizeof path, "%s/store/%s/%s", directory, todo->uid, todo->name);
    file = fopen(path, "r+b");
    CHECK(file != NULL && fseek(file, (long)todo->at, SEEK_SET) == 0);
    byte = fgetc(file);
    CHECK(byte != EOF && fseek(file, (long)todo->at, SEEK_SET) == 0 && fputc(byte ^ 1, file) != EOF);
    CHECK(fclose(file) == 0);
}

static uint64_t count_uploads(const upload_store *store)
{
    upload_list *list = NULL;
    upload_listed *listed = NULL;
    uint64_t count = 0;
    CHECK_RESULT(UPLOAD_OK, upload_list_open(store, &list, NULL));
    for (;;) {
        CHECK_RESULT(UPLOAD_OK, upload_list_next(list, &listed, NULL));
        if (listed == NULL)
            break;
        CHECK(upload_listed_uid(listed) != NULL && upload_listed_phase(listed) != 0);
        upload_listed_free(listed);
        count++;
    }
    upload_list_free(list);
    return count;
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
    outcome got = {UPLOAD_OK, NULL, UPLOAD_RECEIPT_INIT, NULL, NULL, NULL, UPLOAD_CLEANED_INIT, 0, 0};
    if (strcmp(todo->call, "handle_chunk") == 0) {
        upload_chunk chunk = UPLOAD_CHUNK_INIT;
        chunk.upload_uid = todo->uid;
        chunk.file_name = todo->file_name;
        chunk.total_size = todo->total_size;
        chunk.chunk_number = todo->chunk_number;
        chunk.chunk_count = todo->chunk_count;
        chunk.content = todo->content.start;
        chunk.content_size = todo->content.size;
        chunk.upload_key = todo->upload_key;
        chunk.upload_key_size = todo->upload_key == NULL ? 0 : strlen(todo->upload_key);
        chunk.checksum = todo->checksum;
        chunk.file_digest = todo->file_digest;
        got.result = upload_handle_chunk(store, &chunk, &got.receipt, &got.error);
    } else if (strcmp(todo->call, "get") == 0)
        got.result = upload_get(store, todo->uid, &got.finished, &got.error);
    else if (strcmp(todo->call, "uid_for_key") == 0)
        got.result = upload_uid_for_key(store, todo->upload_key, strlen(todo->upload_key), got.receipt.upload_uid, &got.error);
    else if (strcmp(todo->call, "same") == 0)
        CHECK_TEXT(todo->other, todo->uid);
    else if (strcmp(todo->call, "inspect") == 0)
        got.result = upload_inspect(store, todo->uid, todo->from_chunk, &got.inspection, &got.error);
    else if (strcmp(todo->call, "verify") == 0)
        got.result = upload_verify(store, todo->uid, &got.verification, &got.error);
    else if (strcmp(todo->call, "damage") == 0)
        damage(directory, todo);
    else if (strcmp(todo->call, "move_to") == 0)
        got.result = upload_move_to(store, todo->uid, join(directory, todo->destination), todo->overwrite, &got.finished,
                                    &got.error);
    else if (strcmp(todo->call, "remove") == 0)
        got.result = upload_remove(store, todo->uid, &got.error);
    else if (strcmp(todo->call, "cleanup") == 0) {
        upload_expiry expiry = UPLOAD_EXPIRY_INIT;
        expiry.unfinished_age = expiry.finished_age = expiry.gone_age = UPLOAD_ANY_AGE;
        expiry.dry_run = todo->dry_run;
        got.result = upload_cleanup(store, &expiry, &got.cleaned, &got.error);
    } else if (strcmp(todo->call, "take") == 0)
        take(store, todo->uid, directory);
    else if (strcmp(todo->call, "list") == 0) {
        got.uploads = count_uploads(store);
        got.entries = count_entries(directory);
    } else
        fail("not understood", "call", todo->call);
    return got;
}

/* The ranges of either, as a transcript has them. */
static const char *ranges_of(const outcome *got)
{
    static char text[1024];
    const size_t missing = upload_inspection_missing_ranges(got->inspection);
    const size_t count = missing + upload_verification_damaged_ranges(got->verification);
    size_t i, end = 0;
    text[end++] = '[';
    for (i = 0; i < count; i++) {
        const uint64_t first = upload_inspection_range_first(got->inspection, i) +
                               upload_verification_range_first(got->verification, i);
        const uint64_t size = upload_inspection_range_count(got->inspection, i) +
                              upload_verification_range_count(got->verification, i);
        end += (size_t)snprintf(text + end, sizeof text - end, "%s[%llu,%llu]", i == 0 ? "" : ",",
                                (unsigned long long)first, (unsigned long long)size);
        CHECK(end < sizeof text - 1);
    }
    memcpy(text + end, "]", 2);
    return text;
}

static const char *phase_of(const outcome *got)
{
    const char *const names[] = {"", "receiving", "complete", "gone"};
    return names[upload_inspection_phase(got->inspection) + upload_verification_phase(got->verification)];
}

static void check_fact(const outcome *got, const char *name, const char *value)
{
    char text[32];
    const char *shown = text;
    uint64_t number = 0;
    if (strcmp(name, "result") == 0)
        shown = upload_result_name((int32_t)got->result);
    else if (strcmp(name, "file_name") == 0)
        shown = got->inspection ? upload_inspection_file_name(got->inspection) : upload_finished_file_name(got->finished);
    else if (strcmp(name, "phase") == 0)
        shown = phase_of(got);
    else if (strcmp(name, "missing") == 0 || strcmp(name, "damaged") == 0)
        shown = ranges_of(got);
    else if (strcmp(name, "chunk_count") == 0)
        number = upload_inspection_chunk_count(got->inspection);
    else if (strcmp(name, "received_count") == 0)
        number = upload_inspection_received_count(got->inspection);
    else if (strcmp(name, "next_chunk") == 0)
        number = upload_inspection_next_chunk(got->inspection);
    else if (strcmp(name, "checked_count") == 0)
        number = upload_verification_checked_count(got->verification);
    else if (strcmp(name, "damaged_count") == 0)
        number = upload_verification_damaged_count(got->verification);
    else if (strcmp(name, "unfinished") == 0)
        number = got->cleaned.unfinished;
    else if (strcmp(name, "finished") == 0)
        number = got->cleaned.finished;
    else if (strcmp(name, "gone") == 0)
        number = got->cleaned.gone;
    else if (strcmp(name, "leftovers") == 0)
        number = got->cleaned.leftovers;
    else if (strcmp(name, "uploads") == 0)
        number = got->uploads;
    else if (strcmp(name, "limit") == 0)
        shown = upload_error_limit(got->error);
    else if (strcmp(name, "received_all") == 0)
        shown = got->receipt.received_all ? "true" : "false";
    else if (strcmp(name, "total_size") == 0)
        number = upload_finished_total_size(got->finished) + upload_inspection_total_size(got->inspection);
    else if (strcmp(name, "crc32c") == 0)
        number = upload_finished_crc32c(got->finished);
    else if (strcmp(name, "missing_count") == 0)
        number = upload_error_missing_count(got->error);
    else if (strcmp(name, "first_missing") == 0)
        number = upload_error_first_missing(got->error);
    else if (strcmp(name, "limit_value") == 0)
        number = upload_error_limit_value(got->error);
    else if (strcmp(name, "received_size") == 0)
        number = upload_error_received_size(got->error) + upload_inspection_received_size(got->inspection);
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
    upload_store *view = NULL;
    outcome got;
    size_t i;
    if (todo->owner != NULL)
        CHECK_RESULT(UPLOAD_OK, upload_store_for_owner(store, todo->owner, strlen(todo->owner), &view, NULL));
    got = call(view == NULL ? store : view, directory, todo);
    upload_store_free(view);
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
    upload_inspection_free(got.inspection);
    upload_verification_free(got.verification);
    upload_error_free(got.error);
    free(todo->file_name);
    free(todo->upload_key);
    free(todo->checksum);
    free(todo->file_digest);
    free(todo->owner);
    free(todo->name);
    free(todo->destination);
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
