/* C++17 face of chunked_upload.h: handles free themselves, failures are exceptions.
 *
 * What the calls do, how they fail, and what holds for threads, forks and file systems is explained in
 * chunked_upload.h. A complete program:
 *
 *     #include <chunked_upload.hpp>
 *     #include <iostream>
 *
 *     int main()
 *     {
 *         try {
 *             const chunked_upload::store store("uploads");
 *             chunked_upload::chunk chunk;
 *             chunk.file_name = "hello.txt";
 *             chunk.total_size = 10;
 *             chunk.chunk_count = 2;
 *             for (const std::string_view half : {"hello", "world"}) {
 *                 chunk.content = half;
 *                 chunk.upload_uid = store.handle_chunk(chunk).upload_uid;
 *                 ++chunk.chunk_number;
 *             }
 *             std::cout << store.get(chunk.upload_uid).path() << '\n';
 *         } catch (const chunked_upload::error &error) {
 *             std::cerr << error.what() << '\n';
 *             return 1;
 *         }
 *     }
 *
 * store, options, finished and list hold one handle each: they are as large as a pointer, can be moved and
 * not copied, and after a move are good for assigning and destroying only (a call throws
 * UPLOAD_INVALID_ARGUMENT). Each has native_handle(), which lends the handle to a C function, release(),
 * which gives it away, and adopt(), which takes one over.
 */

#ifndef CHUNKED_UPLOAD_HPP
#define CHUNKED_UPLOAD_HPP

#if !defined(__cplusplus) || __cplusplus < 201703L
#error "chunked_upload.hpp needs C++17"
#endif

#include "chunked_upload.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace chunked_upload {

namespace detail {

struct deleter {
    void operator()(upload_store *handle) const noexcept { upload_store_free(handle); }
    void operator()(upload_options *handle) const noexcept { upload_options_free(handle); }
    void operator()(upload_finished *handle) const noexcept { upload_finished_free(handle); }
    void operator()(upload_error *handle) const noexcept { upload_error_free(handle); }
    void operator()(upload_inspection *handle) const noexcept { upload_inspection_free(handle); }
    void operator()(upload_verification *handle) const noexcept { upload_verification_free(handle); }
    void operator()(upload_list *handle) const noexcept { upload_list_free(handle); }
    void operator()(upload_listed *handle) const noexcept { upload_listed_free(handle); }
};

template <typename Handle>
using owner = std::unique_ptr<Handle, deleter>;

inline std::string text(const char *from) { return from == nullptr ? std::string() : std::string(from); }

} // namespace detail

/* A failed call. what() is the message, for logs; code() says what went wrong, and the rest are the facts
 * that go with it: 0 or "" where one does not apply. Copies share the facts. */
class error : public std::runtime_error {
public:
    /* Takes over the object, which may be NULL. */
    error(upload_result code, upload_error *facts) : error(code, detail::owner<upload_error>(facts)) {}

    /* The parameter, which may be NULL, must be static. */
    error(upload_result code, const std::string &message, const char *parameter = nullptr)
        : std::runtime_error(message), code_(code), parameter_(parameter)
    {
    }

    upload_result code() const noexcept { return code_; }
    /* The name of the code: what a server's clients may see. */
    const char *name() const noexcept { return upload_result_name(code_); }

    /* The HTTP status with which a server would answer. */
    int http_status() const noexcept { return upload_result_http_status(code_); }

    /* UPLOAD_INVALID_ARGUMENT: what was refused. */
    std::string parameter() const { return detail::text(facts_ ? upload_error_parameter(facts_.get()) : parameter_); }

    /* UPLOAD_IO and UPLOAD_NO_SPACE. The path may hold the whole uid, which is a secret. */
    int os_errno() const noexcept { return upload_error_os_errno(facts_.get()); }
    std::string path() const { return detail::text(upload_error_path(facts_.get())); }

    /* UPLOAD_INCOMPLETE. */
    std::uint64_t missing_count() const noexcept { return upload_error_missing_count(facts_.get()); }
    std::uint64_t first_missing() const noexcept { return upload_error_first_missing(facts_.get()); }

    /* UPLOAD_LIMIT_EXCEEDED. */
    std::string limit() const { return detail::text(upload_error_limit(facts_.get())); }
    std::uint64_t limit_value() const noexcept { return upload_error_limit_value(facts_.get()); }

    /* UPLOAD_SIZE_MISMATCH. */
    std::uint64_t received_size() const noexcept { return upload_error_received_size(facts_.get()); }
    std::uint64_t declared_size() const noexcept { return upload_error_declared_size(facts_.get()); }

private:
    error(upload_result code, detail::owner<upload_error> facts)
        : std::runtime_error(upload_error_message(facts.get())), code_(code), facts_(std::move(facts))
    {
    }

    upload_result code_;
    std::shared_ptr<const upload_error> facts_;
    const char *parameter_ = nullptr;
};

namespace detail {

/* Calls a function whose last parameter takes the error. */
template <typename Function, typename... Arguments>
void call(Function *function, Arguments... arguments)
{
    upload_error *facts = nullptr;
    const upload_result code = function(arguments..., &facts);
    if (code != UPLOAD_OK)
        throw error(code, facts);
}

/* The same for a function that gives a handle through the parameter before. */
template <typename Handle, typename Function, typename... Arguments>
owner<Handle> made(Function *function, Arguments... arguments)
{
    Handle *handle = nullptr;
    call(function, arguments..., &handle);
    return owner<Handle>(handle);
}

/* A C string ends at its first NUL: a text with one inside must not pass for a shorter one. */
inline const char *c_string(const std::string &text, const char *parameter)
{
    if (text.find('\0') != std::string::npos)
        throw error(UPLOAD_INVALID_ARGUMENT, parameter + std::string(" contains NUL"), parameter);
    return text.c_str();
}

/* A uid with a NUL cannot exist. */
inline const char *c_uid(const std::string &uid)
{
    if (uid.find('\0') != std::string::npos)
        throw error(UPLOAD_NOT_FOUND, "upload not found: a uid with NUL");
    return uid.c_str();
}

} // namespace detail

/* Bytes that belong to somebody else, who must keep them while the view is used. Made from a pointer and a
 * size, or from anything contiguous with one-byte elements: std::string, std::string_view,
 * std::vector<std::byte>, std::array<unsigned char, n>, std::span<const char>, ... A temporary is gone
 * before a view that was assigned from it is used. An array of char is not
 * accepted, as one cannot see whether its last byte is content or the end of a text: use
 * std::string_view. */
class bytes_view {
public:
    constexpr bytes_view() noexcept = default;
    constexpr bytes_view(const void *data, std::size_t size) noexcept : data_(data), size_(size) {}

    template <std::size_t Size>
    bytes_view(const char (&)[Size]) = delete;

    template <typename Bytes,
              typename Element = std::remove_pointer_t<decltype(std::data(std::declval<const Bytes &>()))>,
              typename = std::enable_if_t<!std::is_same_v<Bytes, bytes_view> && sizeof(Element) == 1 &&
                                          std::is_trivially_copyable_v<Element>>>
    constexpr bytes_view(const Bytes &bytes) noexcept : data_(std::data(bytes)), size_(std::size(bytes))
    {
    }

    constexpr const void *data() const noexcept { return data_; }
    constexpr std::size_t size() const noexcept { return size_; }

private:
    const void *data_ = nullptr;
    std::size_t size_ = 0;
};

/* A copy of bytes: of all that a bytes_view can be made of. */
class byte_string {
public:
    byte_string() = default;
    byte_string(bytes_view from)
    {
        if (from.size() != 0 && from.data() == nullptr)
            throw error(UPLOAD_INVALID_ARGUMENT, "bytes at NULL");
        bytes_.assign(static_cast<const char *>(from.data()), from.size());
    }
    byte_string(const void *data, std::size_t size) : byte_string(bytes_view(data, size)) {}

    template <typename Bytes, typename = std::enable_if_t<std::is_constructible_v<bytes_view, const Bytes &>>>
    byte_string(const Bytes &from) : byte_string(bytes_view(from))
    {
    }

    const char *data() const noexcept { return bytes_.data(); }
    std::size_t size() const noexcept { return bytes_.size(); }

private:
    std::string bytes_;
};

/* One chunk of a file; see upload_chunk. An empty upload_uid starts an upload. Only the content is a
 * view: keep it until the chunk was handled. */
struct chunk {
    std::string upload_uid{};
    std::string file_name{};
    std::uint64_t total_size = 0;
    std::uint64_t chunk_number = 0;
    std::uint64_t chunk_count = 0;
    bytes_view content{};
    byte_string upload_key{};
    std::string checksum{};
    std::string file_digest{};
};

/* The answer to an accepted chunk; see upload_receipt. */
struct receipt {
    std::string upload_uid{};
    bool received_all = false;
};

/* What an upload is; see the UPLOAD_PHASE_ values. */
enum class phase : std::int32_t {
    receiving = UPLOAD_PHASE_RECEIVING,
    complete = UPLOAD_PHASE_COMPLETE,
    gone = UPLOAD_PHASE_GONE
};

/* Chunks with numbers in a row. */
struct chunk_range {
    std::uint64_t first = 0;
    std::uint64_t count = 0;
};

/* What is known of an upload; see upload_inspect. */
struct inspection {
    std::string uid{};
    std::string file_name{};
    std::uint64_t total_size = 0;
    std::uint64_t chunk_count = 0;
    std::uint64_t received_size = 0;
    std::uint64_t received_count = 0;
    chunked_upload::phase phase{};
    std::chrono::system_clock::time_point last_activity{};
    std::vector<chunk_range> missing{};
    /* Where to go on asking, if there are more ranges. */
    std::optional<std::uint64_t> next_chunk{};
};

/* Whether the stored bytes are what was received; see upload_verify. */
struct verification {
    chunked_upload::phase phase{};
    std::uint64_t checked_count = 0;
    std::uint64_t damaged_count = 0;
    std::vector<chunk_range> damaged{};
};

/* What a cleanup is to remove; see upload_expiry. What has no age is kept. */
struct expiry {
    std::optional<std::chrono::seconds> unfinished{};
    std::optional<std::chrono::seconds> finished{};
    std::optional<std::chrono::seconds> gone{};
    std::uint64_t max_removals = 1000;
    bool dry_run = false;
};

/* What a cleanup removed; see upload_cleaned. */
struct cleaned {
    std::uint64_t unfinished = 0;
    std::uint64_t finished = 0;
    std::uint64_t gone = 0;
    std::uint64_t leftovers = 0;
    std::uint64_t failed = 0;
    bool more = false;
};

/* One upload of a list; see upload_listed. */
struct listed {
    std::string uid{};
    std::string file_name{};
    std::uint64_t total_size = 0;
    std::uint64_t chunk_count = 0;
    chunked_upload::phase phase{};
    std::chrono::system_clock::time_point last_activity{};
};

namespace detail {

inline std::chrono::system_clock::time_point time(std::int64_t seconds)
{
    return std::chrono::system_clock::time_point(std::chrono::seconds(seconds));
}

inline std::uint64_t age(const std::optional<std::chrono::seconds> &age, const char *parameter)
{
    if (age && age->count() < 0)
        throw error(UPLOAD_INVALID_ARGUMENT, parameter + std::string(" is negative"), parameter);
    if (!age)
        return UPLOAD_KEEP;
    return age->count() == 0 ? UPLOAD_ANY_AGE : static_cast<std::uint64_t>(age->count());
}

} // namespace detail

/* See upload_options_set_durability. */
enum class durability : std::int32_t {
    process = UPLOAD_DURABILITY_PROCESS,
    complete = UPLOAD_DURABILITY_COMPLETE,
    chunk = UPLOAD_DURABILITY_CHUNK
};

/* Limits and habits of a store, with the default values until they are set. The setters can be chained,
 * and throw when a value is refused:
 *
 *     chunked_upload::store store("uploads", chunked_upload::options().prefix("u_").file_mode(0640));
 */
class options {
public:
    options() : handle_(upload_options_new())
    {
        if (!handle_)
            throw error(UPLOAD_INTERNAL, "no options");
    }
    static options adopt(upload_options *handle) noexcept { return options(handle); }
    upload_options *native_handle() const noexcept { return handle_.get(); }
    upload_options *release() noexcept { return handle_.release(); }

    options &max_total_size(std::uint64_t bytes) { return set(upload_options_set_max_total_size, bytes); }
    options &max_chunk_count(std::uint64_t chunks) { return set(upload_options_set_max_chunk_count, chunks); }
    options &min_free_space(std::uint64_t bytes) { return set(upload_options_set_min_free_space, bytes); }
    options &max_store_size(std::uint64_t bytes) { return set(upload_options_set_max_store_size, bytes); }
    options &max_uploads(std::uint64_t uploads) { return set(upload_options_set_max_uploads, uploads); }
    options &all_owners(bool all = true) { return set(upload_options_set_all_owners, std::int32_t{all}); }
    options &durability(chunked_upload::durability level)
    {
        return set(upload_options_set_durability, static_cast<std::int32_t>(level));
    }
    options &prefix(const std::string &text)
    {
        return set(upload_options_set_prefix, detail::c_string(text, "prefix"));
    }
    options &dir_mode(std::uint32_t mode) { return set(upload_options_set_dir_mode, mode); }
    options &file_mode(std::uint32_t mode) { return set(upload_options_set_file_mode, mode); }

private:
    explicit options(upload_options *handle) noexcept : handle_(handle) {}

    template <typename Value>
    options &set(upload_result (*setter)(upload_options *, Value), Value value)
    {
        if (setter(native_handle(), value) != UPLOAD_OK)
            detail::call(upload_options_last_error, native_handle());
        return *this;
    }

    detail::owner<upload_options> handle_;
};

/* A finished upload; see upload_finished. Destroying it leaves the file where it is. */
class finished {
public:
    static finished adopt(upload_finished *handle) noexcept { return finished(handle); }
    upload_finished *native_handle() const noexcept { return handle_.get(); }
    upload_finished *release() noexcept { return handle_.release(); }

    std::string uid() const { return detail::text(upload_finished_uid(alive())); }
    /* Where the file lies. Holds the uid. */
    std::string path() const { return detail::text(upload_finished_path(alive())); }
    /* The client's name for it: any text, and not to be made a path. */
    std::string file_name() const { return detail::text(upload_finished_file_name(alive())); }
    std::uint64_t total_size() const { return upload_finished_total_size(alive()); }
    std::uint32_t crc32c() const { return upload_finished_crc32c(alive()); }

private:
    explicit finished(upload_finished *handle) noexcept : handle_(handle) {}

    const upload_finished *alive() const
    {
        if (!handle_)
            throw error(UPLOAD_INVALID_ARGUMENT, "finished was moved from");
        return handle_.get();
    }

    detail::owner<upload_finished> handle_;
};

/* The uploads of a store, one after the other; see upload_list. For one thread at a time. Either next() is
 * called until it answers nothing, or
 *
 *     for (const chunked_upload::listed &upload : store.list())
 *
 * An upload that cannot be read throws in its place; next() then goes on with the upload after it. */
class list {
public:
    static list adopt(upload_list *handle) noexcept { return list(handle); }
    upload_list *native_handle() const noexcept { return handle_.get(); }
    upload_list *release() noexcept { return handle_.release(); }

    std::optional<listed> next()
    {
        const auto found = detail::made<upload_listed>(upload_list_next, native_handle());
        const upload_listed *raw = found.get();
        if (raw == nullptr)
            return std::nullopt;
        return listed{detail::text(upload_listed_uid(raw)),      detail::text(upload_listed_file_name(raw)),
                      upload_listed_total_size(raw),             upload_listed_chunk_count(raw),
                      static_cast<phase>(upload_listed_phase(raw)), detail::time(upload_listed_last_activity(raw))};
    }

    struct end_of_list {};

    /* An input iterator, in C++20 too: a list is a range that can be passed through once. */
    class iterator {
    public:
        using iterator_category = std::input_iterator_tag;
        using value_type = listed;
        using difference_type = std::ptrdiff_t;
        using pointer = const listed *;
        using reference = const listed &;

        iterator() = default;
        explicit iterator(list &of) : list_(&of), now_(of.next()) {}
        reference operator*() const { return *now_; }
        pointer operator->() const { return &*now_; }
        iterator &operator++()
        {
            now_ = list_->next();
            return *this;
        }
        iterator operator++(int)
        {
            iterator before = *this;
            ++*this;
            return before;
        }
        friend bool operator==(const iterator &at, end_of_list) noexcept { return !at.now_; }
        friend bool operator==(end_of_list, const iterator &at) noexcept { return !at.now_; }
        friend bool operator!=(const iterator &at, end_of_list) noexcept { return at.now_.has_value(); }
        friend bool operator!=(end_of_list, const iterator &at) noexcept { return at.now_.has_value(); }

    private:
        list *list_ = nullptr;
        std::optional<listed> now_{};
    };

    iterator begin() { return iterator(*this); }
    end_of_list end() const noexcept { return end_of_list(); }

private:
    explicit list(upload_list *handle) noexcept : handle_(handle) {}

    detail::owner<upload_list> handle_;
};

/* A directory in which uploads are received; see upload_store. Its const functions may be called by any
 * number of threads at once, and in the children of a fork. */
class store {
public:
    explicit store(const std::string &path) : store(path, nullptr) {}
    store(const std::string &path, const options &with) : store(path, checked(with)) {}
    static store adopt(upload_store *handle) noexcept { return store(handle); }
    upload_store *native_handle() const noexcept { return handle_.get(); }
    upload_store *release() noexcept { return handle_.release(); }

    /* Receives one chunk; see upload_handle_chunk. */
    receipt handle_chunk(const chunk &chunk) const
    {
        upload_chunk raw = UPLOAD_CHUNK_INIT;
        raw.upload_uid = detail::c_uid(chunk.upload_uid);
        raw.file_name = detail::c_string(chunk.file_name, "file_name");
        raw.total_size = chunk.total_size;
        raw.chunk_number = chunk.chunk_number;
        raw.chunk_count = chunk.chunk_count;
        raw.content = chunk.content.data();
        raw.content_size = chunk.content.size();
        raw.upload_key = chunk.upload_key.data();
        raw.upload_key_size = chunk.upload_key.size();
        raw.checksum = detail::c_string(chunk.checksum, "checksum");
        raw.file_digest = detail::c_string(chunk.file_digest, "file_digest");
        upload_receipt answer = UPLOAD_RECEIPT_INIT;
        detail::call(upload_handle_chunk, native_handle(), &raw, &answer);
        return receipt{answer.upload_uid, answer.received_all != 0};
    }

    /* The assembled file of an upload; see upload_get. */
    finished get(const std::string &uid) const
    {
        auto file = detail::made<upload_finished>(upload_get, native_handle(), detail::c_uid(uid));
        return finished::adopt(file.release());
    }

    /* A view bound to an owner; see upload_store_for_owner. */
    store for_owner(bytes_view owner) const
    {
        return adopt(
            detail::made<upload_store>(upload_store_for_owner, native_handle(), owner.data(), owner.size()).release());
    }

    /* The uid that an upload with this key has; see upload_uid_for_key. */
    std::string uid_for_key(bytes_view upload_key) const
    {
        char uid[UPLOAD_UID_SIZE];
        detail::call(upload_uid_for_key, native_handle(), upload_key.data(), upload_key.size(), uid);
        return uid;
    }

    /* What is known of an upload, with the chunks that are missing from from_chunk on; see upload_inspect. */
    inspection inspect(const std::string &uid, std::uint64_t from_chunk = 0) const
    {
        const char *c_uid = detail::c_uid(uid);
        const auto answer = detail::made<upload_inspection>(upload_inspect, native_handle(), c_uid, from_chunk);
        const upload_inspection *raw = answer.get();
        inspection seen;
        seen.uid = detail::text(upload_inspection_uid(raw));
        seen.file_name = detail::text(upload_inspection_file_name(raw));
        seen.total_size = upload_inspection_total_size(raw);
        seen.chunk_count = upload_inspection_chunk_count(raw);
        seen.received_size = upload_inspection_received_size(raw);
        seen.received_count = upload_inspection_received_count(raw);
        seen.phase = static_cast<phase>(upload_inspection_phase(raw));
        seen.last_activity = detail::time(upload_inspection_last_activity(raw));
        for (std::size_t i = 0; i < upload_inspection_missing_ranges(raw); i++)
            seen.missing.push_back({upload_inspection_range_first(raw, i), upload_inspection_range_count(raw, i)});
        if (upload_inspection_next_chunk(raw) != 0)
            seen.next_chunk = upload_inspection_next_chunk(raw);
        return seen;
    }

    /* Reads what is stored again; see upload_verify. */
    verification verify(const std::string &uid) const
    {
        const auto answer = detail::made<upload_verification>(upload_verify, native_handle(), detail::c_uid(uid));
        const upload_verification *raw = answer.get();
        verification found;
        found.phase = static_cast<phase>(upload_verification_phase(raw));
        found.checked_count = upload_verification_checked_count(raw);
        found.damaged_count = upload_verification_damaged_count(raw);
        for (std::size_t i = 0; i < upload_verification_damaged_ranges(raw); i++)
            found.damaged.push_back({upload_verification_range_first(raw, i), upload_verification_range_count(raw, i)});
        return found;
    }

    /* Puts the assembled file at its place; see upload_move_to. */
    finished move_to(const std::string &uid, const std::string &destination, bool overwrite = false) const
    {
        const char *c_path = detail::c_string(destination, "destination");
        const char *c_uid = detail::c_uid(uid);
        auto file = detail::made<upload_finished>(upload_move_to, native_handle(), c_uid, c_path, overwrite ? 1 : 0);
        return finished::adopt(file.release());
    }

    /* Removes an upload, whatever it is; see upload_remove. */
    void remove(const std::string &uid) const
    {
        detail::call(upload_remove, native_handle(), detail::c_uid(uid));
    }

    /* Removes what nobody has used for long; see upload_cleanup. */
    cleaned cleanup(const expiry &what) const
    {
        upload_expiry raw = UPLOAD_EXPIRY_INIT;
        raw.unfinished_age = detail::age(what.unfinished, "unfinished_age");
        raw.finished_age = detail::age(what.finished, "finished_age");
        raw.gone_age = detail::age(what.gone, "gone_age");
        raw.max_removals = what.max_removals;
        raw.dry_run = what.dry_run ? 1 : 0;
        upload_cleaned answer = UPLOAD_CLEANED_INIT;
        detail::call(upload_cleanup, native_handle(), &raw, &answer);
        return cleaned{answer.unfinished, answer.finished, answer.gone, answer.leftovers, answer.failed, answer.more != 0};
    }

    /* The uploads that this store sees; see upload_list_open. */
    chunked_upload::list list() const
    {
        return chunked_upload::list::adopt(detail::made<upload_list>(upload_list_open, native_handle()).release());
    }

private:
    explicit store(upload_store *handle) noexcept : handle_(handle) {}

    /* NULL would mean the default options: limits must not vanish with a move. */
    static const upload_options *checked(const options &with)
    {
        if (with.native_handle() == nullptr)
            throw error(UPLOAD_INVALID_ARGUMENT, "options were moved from", "options");
        return with.native_handle();
    }

    store(const std::string &path, const upload_options *with)
        : handle_(detail::made<upload_store>(
              upload_store_open, detail::c_string(path, "path"), with))
    {
    }

    detail::owner<upload_store> handle_;
};

/* The version of the library that runs; that of the headers is UPLOAD_VERSION. */
inline std::string version() { return upload_version(); }

/* The same as a number, such as UPLOAD_VERSION_NUMBER. */
inline std::uint32_t version_number() noexcept { return upload_version_number(); }

namespace detail {

template <typename Class>
constexpr bool is_a_handle = sizeof(Class) == sizeof(void *) && std::is_nothrow_move_constructible_v<Class> &&
                             std::is_nothrow_move_assignable_v<Class> && std::is_nothrow_destructible_v<Class> &&
                             !std::is_copy_constructible_v<Class> && !std::is_copy_assignable_v<Class>;
static_assert(is_a_handle<store> && is_a_handle<options> && is_a_handle<finished> && is_a_handle<list>,
              "they own one handle");
static_assert(std::is_nothrow_copy_constructible_v<error>, "an exception is copied while it is thrown");

/* The library was compiled for exactly this. */
static_assert(sizeof(upload_result) == 4 && sizeof(upload_chunk) == 96 && sizeof(upload_receipt) == 80, "ABI");
static_assert(offsetof(upload_chunk, file_digest) == 88 && offsetof(upload_receipt, received_all) == 72, "ABI");

} // namespace detail

} // namespace chunked_upload

#endif
