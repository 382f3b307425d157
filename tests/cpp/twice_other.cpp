#include <chunked_upload.hpp>

std::string other_version();

std::string other_version()
{
    return chunked_upload::version();
}
