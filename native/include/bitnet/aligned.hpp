// Memory that starts a cache line, so that no load of a whole vector register straddles two in rows whose length is a
// multiple of a line.  Other rows start anywhere: kernels may not count on it.
#pragma once

#include <cstddef>
#include <new>
#include <vector>

namespace bitnet {

constexpr std::size_t cache_line = 64;  // bytes

template <typename T>
struct AlignedAllocator {
    using value_type = T;
    AlignedAllocator() = default;
    template <typename U>
    AlignedAllocator(const AlignedAllocator<U>&) {}

    T* allocate(std::size_t n) {
        return static_cast<T*>(::operator new(n * sizeof(T), std::align_val_t(cache_line)));
    }
    void deallocate(T* p, std::size_t) { ::operator delete(p, std::align_val_t(cache_line)); }
    bool operator==(const AlignedAllocator&) const = default;
};

template <typename T>
using AlignedVector = std::vector<T, AlignedAllocator<T>>;

}  // namespace bitnet
