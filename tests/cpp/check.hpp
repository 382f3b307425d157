// What the C++ test programs share. Each is one main; argv[1] is an empty directory, status 0 is success.

#ifndef CHECK_HPP
#define CHECK_HPP

#include <chunked_upload.hpp>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>

// Not assert(): NDEBUG must not switch tests off.
#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            std::cerr << __FILE__ << ':' << __LINE__ << ": not " #condition << std::endl;                             \
            std::abort();                                                                                              \
        }                                                                                                              \
    } while (false)

// The error that a call ends with.
template <typename Call>
chunked_upload::error failure(upload_result expected, Call call)
{
    try {
        call();
    } catch (const chunked_upload::error &error) {
        if (error.code() == expected)
            return error;
        std::cerr << "not " << upload_result_name(expected) << " but " << error.name() << ": " << error.what() << std::endl;
        std::abort();
    }
    std::cerr << "not " << upload_result_name(expected) << " but success" << std::endl;
    std::abort();
}

inline std::string content_of(const std::string &path)
{
    std::ifstream file(path, std::ios::binary);
    CHECK(file.good());
    return std::string(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

#endif
