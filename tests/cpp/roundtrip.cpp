// Files go in as chunks and come out whole, through every kind of container, and handles move.

#include "check.hpp"

#include <array>
#include <string_view>
#include <vector>
#if __cplusplus >= 202002L
#include <span>
#endif

namespace cu = chunked_upload;

// A pointer in a chunk must not be mistaken for a size, and an array of char has a NUL too many.
static_assert(!std::is_constructible_v<cu::bytes_view, int>);
static_assert(!std::is_constructible_v<cu::bytes_view, const char (&)[6]>);
static_assert(!std::is_constructible_v<cu::bytes_view, std::vector<int>>);
static_assert(!std::is_constructible_v<cu::bytes_view, std::vector<std::string>>);
static_assert(std::is_convertible_v<std::string, cu::bytes_view>);

static cu::chunk chunk_of(const std::string &uid, std::uint64_t number, cu::bytes_view content)
{
    cu::chunk chunk;
    chunk.upload_uid = uid;
    chunk.file_name = "a.bin";
    chunk.total_size = 12;
    chunk.chunk_number = number;
    chunk.chunk_count = 4;
    chunk.content = content;
    return chunk;
}

static void check_containers(const cu::store &store)
{
    const std::string text = "ghi";
    const std::vector<std::byte> bytes{std::byte{'a'}, std::byte{'b'}, std::byte{'c'}};
    const std::array<unsigned char, 3> array{'d', 'e', 'f'};
    const unsigned char plain[3] = {'j', 'k', 'l'};

    const std::string uid = store.handle_chunk(chunk_of("", 2, text)).upload_uid;
    CHECK(uid.size() < UPLOAD_UID_SIZE && !uid.empty());
    CHECK(!store.handle_chunk(chunk_of(uid, 0, bytes)).received_all);
    CHECK(!store.handle_chunk(chunk_of(uid, 1, array)).received_all);
#if __cplusplus >= 202002L
    const cu::receipt last = store.handle_chunk(chunk_of(uid, 3, std::span<const unsigned char>(plain)));
#else
    const cu::receipt last = store.handle_chunk(chunk_of(uid, 3, plain));
#endif
    CHECK(last.received_all && last.upload_uid == uid);

    const cu::finished finished = store.get(uid);
    CHECK(finished.uid() == uid && finished.file_name() == "a.bin" && finished.total_size() == 12);
    CHECK(finished.crc32c() != 0);
    CHECK(content_of(finished.path()) == "abcdefghijkl");
    CHECK(store.get(uid).path() == finished.path());
}

static void check_empty_file(const cu::store &store)
{
    cu::chunk chunk;
    chunk.chunk_count = 1;
    const cu::finished finished = store.get(store.handle_chunk(chunk).upload_uid);
    CHECK(finished.total_size() == 0 && finished.file_name().empty() && content_of(finished.path()).empty());
}

static void check_moves(const std::string &directory)
{
    cu::options options;
    options.prefix("u_").durability(cu::durability::complete).max_chunk_count(9).dir_mode(0750).file_mode(0640);
    cu::options kept(std::move(options));
    failure(UPLOAD_INVALID_ARGUMENT, [&] { options.prefix("x"); });
    failure(UPLOAD_INVALID_ARGUMENT, [&] { cu::store("without limits", options); });

    cu::store first(directory + "/moved", kept);
    cu::store second(std::move(first));
    failure(UPLOAD_INVALID_ARGUMENT, [&] { first.get("x"); });
    first = std::move(second);
    second = cu::store::adopt(first.release());
    CHECK(first.native_handle() == nullptr && second.native_handle() != nullptr);

    const std::string uid = second.handle_chunk(chunk_of("", 0, std::string_view("abc"))).upload_uid;
    CHECK(failure(UPLOAD_INCOMPLETE, [&] { second.get(uid); }).missing_count() == 3);
    for (const std::uint64_t number : {1u, 2u, 3u})
        second.handle_chunk(chunk_of(uid, number, std::string_view("abc")));
    cu::finished file = second.get(uid);
    CHECK(file.path().find("/moved/u_" + uid) != std::string::npos);
    cu::finished adopted = cu::finished::adopt(file.release());
    CHECK(adopted.uid() == uid);
    failure(UPLOAD_INVALID_ARGUMENT, [&] { file.path(); });
    failure(UPLOAD_INVALID_ARGUMENT, [&] { file.total_size(); });
    CHECK(cu::error(UPLOAD_IO, nullptr).path().empty());
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    const std::string directory = argv[1];
    const cu::store store(directory + "/store");
    check_containers(store);
    check_empty_file(store);
    check_moves(directory);
    return 0;
}
