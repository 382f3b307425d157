// The header needs no other before it.

#include <chunked_upload.hpp>

int main()
{
    const bool same = chunked_upload::version() == UPLOAD_VERSION;
    return same && chunked_upload::version_number() == UPLOAD_VERSION_NUMBER ? 0 : 1;
}
