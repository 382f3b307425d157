// The header needs no other before it.

#include <chunked_upload.hpp>

int main()
{
    return chunked_upload::version() == UPLOAD_VERSION ? 0 : 1;
}
