// A list is an input range, for the algorithms of C++20 and the loops of C++17.

#include "check.hpp"

#include <algorithm>
#include <iterator>
#include <set>
#include <string_view>

#if __cplusplus >= 202002L
#include <ranges>
#endif

namespace cu = chunked_upload;

static_assert(std::is_same_v<std::iterator_traits<cu::list::iterator>::value_type, cu::listed>);
#if __cplusplus >= 202002L
static_assert(std::input_iterator<cu::list::iterator>);
static_assert(std::sentinel_for<cu::list::end_of_list, cu::list::iterator>);
static_assert(std::ranges::input_range<cu::list> && !std::ranges::forward_range<cu::list>);
#endif

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    const cu::store store(argv[1]);
    std::set<std::string> uids;
    for (const std::string_view name : {"a", "b", "c"}) {
        cu::chunk chunk;
        chunk.file_name = name;
        chunk.chunk_count = 1;
        uids.insert(store.handle_chunk(chunk).upload_uid);
    }

    std::set<std::string> seen;
    cu::list list = store.list();
    cu::list::iterator at = list.begin();
    while (at != list.end())
        seen.insert((*at++).uid);
    CHECK(seen == uids && at == list.end() && list.end() == at && !(list.end() != at));

#if __cplusplus >= 202002L
    seen.clear();
    cu::list uploads = store.list();
    const auto is_not_a = [](const cu::listed &upload) { return upload.file_name != "a"; };
    for (const std::string &uid : uploads | std::views::filter(is_not_a) | std::views::transform(&cu::listed::uid))
        seen.insert(uid);
    CHECK(seen.size() == 2);
    CHECK(std::ranges::count_if(store.list(), is_not_a) == 2);
    seen.clear();
    std::ranges::for_each(store.list(), [&](const cu::listed &upload) { seen.insert(upload.uid); });
    CHECK(seen == uids);
#endif
    return 0;
}
