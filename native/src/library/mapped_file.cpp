#include "library/mapped_file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "library/bad_input.hpp"

namespace bitnet::library {
namespace {

struct Descriptor {
    int number;
    ~Descriptor() {
        if (number >= 0) ::close(number);
    }
};

}  // namespace

MappedFile::MappedFile(const std::string& path) {
    const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
    if (file.number < 0 && errno == ENOENT) throw BadInput("no such file");
    if (file.number < 0) throw BadInput(std::string("cannot be read: ") + std::strerror(errno));
    struct stat status;
    if (::fstat(file.number, &status) != 0 || !S_ISREG(status.st_mode)) throw BadInput("is not a file");
    size_ = std::size_t(status.st_size);
    if (size_ == 0) throw BadInput("the file is empty; download it again");
    void* mapped = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.number, 0);
    if (mapped == MAP_FAILED) throw BadInput(std::string("cannot be mapped: ") + std::strerror(errno));
    data_ = static_cast<const std::uint8_t*>(mapped);
}

MappedFile::~MappedFile() { ::munmap(const_cast<std::uint8_t*>(data_), size_); }

}  // namespace bitnet::library
