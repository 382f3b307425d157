// The header is in both files of one program: whatever it defines must be allowed to be there twice.

#include <chunked_upload.hpp>
#include <chunked_upload.hpp>

std::string other_version();

int main()
{
    return other_version() == chunked_upload::version() ? 0 : 1;
}
