// Every failure is an exception with its facts, which outlive the store, and copies of it have them too.

#include "check.hpp"

#include <cerrno>
#include <chrono>
#include <cstring>
#include <exception>
#include <filesystem>
#include <string_view>
#include <utility>

namespace cu = chunked_upload;

static cu::chunk chunk_of(const std::string &uid, std::uint64_t total, std::uint64_t number, std::uint64_t count,
                          std::string_view content)
{
    cu::chunk chunk;
    chunk.upload_uid = uid;
    chunk.total_size = total;
    chunk.chunk_number = number;
    chunk.chunk_count = count;
    chunk.content = content;
    return chunk;
}

static void check_states(const cu::store &store)
{
    const std::string uid = store.handle_chunk(chunk_of("", 6, 1, 3, "cd")).upload_uid;
    const cu::error incomplete = failure(UPLOAD_INCOMPLETE, [&] { store.get(uid); });
    CHECK(incomplete.missing_count() == 2 && incomplete.first_missing() == 0);
    CHECK(std::strcmp(incomplete.name(), "incomplete") == 0 && std::strlen(incomplete.what()) > 0);
    CHECK(incomplete.limit().empty() && incomplete.path().empty() && incomplete.os_errno() == 0);
    failure(UPLOAD_CONFLICT, [&] { store.handle_chunk(chunk_of(uid, 7, 0, 3, "ab")); });
    store.handle_chunk(chunk_of(uid, 6, 0, 3, "ab"));
    store.handle_chunk(chunk_of(uid, 6, 2, 3, "e"));
    const cu::error mismatch = failure(UPLOAD_SIZE_MISMATCH, [&] { store.get(uid); });
    CHECK(mismatch.received_size() == 5 && mismatch.declared_size() == 6);
    store.handle_chunk(chunk_of(uid, 6, 2, 3, "ef"));
    CHECK(std::filesystem::remove(store.get(uid).path()));
    failure(UPLOAD_GONE, [&] { store.get(uid); });
}

static void check_arguments(const cu::store &store, const std::string &directory)
{
    const auto no_chunks = [&] { store.handle_chunk(chunk_of("", 3, 0, 0, "abc")); };
    CHECK(failure(UPLOAD_INVALID_ARGUMENT, no_chunks).parameter() == "chunk_count");
    failure(UPLOAD_NOT_FOUND, [&] { store.get("no uid"); });
    failure(UPLOAD_INVALID_ARGUMENT, [] { cu::store(""); });

    // A C string would end at the NUL.
    const std::string nul("a\0b", 3);
    cu::chunk chunk = chunk_of("", 3, 0, 1, "abc");
    chunk.file_name = nul;
    CHECK(failure(UPLOAD_INVALID_ARGUMENT, [&] { store.handle_chunk(chunk); }).parameter() == "file_name");
    chunk = chunk_of(std::string(1, '\0'), 3, 0, 1, "abc");
    failure(UPLOAD_NOT_FOUND, [&] { store.handle_chunk(chunk); });
    const std::string uid = store.handle_chunk(chunk_of("", 3, 0, 1, "abc")).upload_uid;
    failure(UPLOAD_NOT_FOUND, [&] { store.get(uid + nul); });
    CHECK(failure(UPLOAD_INVALID_ARGUMENT, [&] { cu::store(directory + nul); }).parameter() == "path");
    CHECK(failure(UPLOAD_INVALID_ARGUMENT, [&] { cu::options().prefix(nul); }).parameter() == "prefix");
    CHECK(failure(UPLOAD_INVALID_ARGUMENT, [&] { store.move_to(uid, nul); }).parameter() == "destination");
    cu::expiry negative;
    negative.gone = std::chrono::seconds(-1);
    CHECK(failure(UPLOAD_INVALID_ARGUMENT, [&] { store.cleanup(negative); }).parameter() == "gone_age");
    cu::options moved;
    const cu::options taken = std::move(moved);
    CHECK(failure(UPLOAD_INVALID_ARGUMENT, [&] { cu::store(directory, moved); }).parameter() == "options");
    CHECK(failure(UPLOAD_INVALID_ARGUMENT, [] { cu::options().prefix("a/b"); }).parameter() == "prefix");
    const cu::error refused =
        failure(UPLOAD_INVALID_ARGUMENT, [] { cu::options().durability(static_cast<cu::durability>(3)); });
    CHECK(refused.parameter() == "durability" && std::string_view(refused.what()).find('3') != std::string::npos);
    CHECK(refused.http_status() == 400);
}

// The facts live as long as the last copy of the exception.
static void check_lifetime(const std::string &directory)
{
    std::exception_ptr caught;
    try {
        const cu::store store(directory + "/limited", cu::options().max_total_size(2));
        store.handle_chunk(chunk_of("", 3, 0, 1, "abc"));
    } catch (...) {
        caught = std::current_exception();
    }
    const cu::error limited = failure(UPLOAD_LIMIT_EXCEEDED, [&] { std::rethrow_exception(caught); });
    caught = nullptr;
    CHECK(limited.limit() == "max_total_size" && limited.limit_value() == 2);

    const std::string missing = directory + "/missing/store";
    const cu::error io = failure(UPLOAD_IO, [&] { cu::store(missing).handle_chunk(chunk_of("", 3, 0, 1, "abc")); });
    CHECK(io.os_errno() == ENOENT && io.path() == missing);
    const cu::error full = failure(UPLOAD_NO_SPACE, [&] {
        const cu::store store(directory + "/full", cu::options().min_free_space(UINT64_MAX));
        store.handle_chunk(chunk_of("", 3, 0, 1, "abc"));
    });
    CHECK(full.os_errno() == ENOSPC && full.http_status() == 507 && full.parameter().empty());
    const std::runtime_error &standard = full;
    CHECK(std::string_view(standard.what()) == full.what());
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    const std::string directory = argv[1];
    const cu::store store(directory + "/store");
    check_states(store);
    check_arguments(store, directory);
    check_lifetime(directory);
    return 0;
}
