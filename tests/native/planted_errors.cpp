// Errors made on purpose, in a module that is built only with the sanitizers: each of them has to be reported,
// or a clean run of the tests would prove nothing.

#include <pybind11/pybind11.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <thread>

namespace {

// The compiler may not see through these, or it would leave the error out.
volatile int one = 1;
int shared = 0;

int read_beyond_the_end() {
    const auto values = std::make_unique<int[]>(8);
    return values[std::size_t(7 + one)];
}

int read_after_free() {
    auto value = std::make_unique<int>(one);
    const int* old = value.get();
    value.reset();
    return *old;
}

int overflow_an_int() { return std::numeric_limits<int>::max() + one; }

float read_misaligned() {
    alignas(float) const char bytes[8] = {};
    return *reinterpret_cast<const float*>(bytes + one);
}

// For memory that AddressSanitizer was told of: the guard bytes around the arrays of the tests.
int read_byte(std::uintptr_t address) { return *reinterpret_cast<const volatile unsigned char*>(address); }

int race() {
    const auto count = [] {
        for (int i = 0; i < 1000; ++i) shared = shared + one;
    };
    std::thread other(count);
    count();
    other.join();
    return shared;
}

}  // namespace

PYBIND11_MODULE(_planted_errors, m) {
#if defined(__SANITIZE_THREAD__)
    m.attr("sanitizer") = "thread";
#else
    m.attr("sanitizer") = "address";
#endif
    m.def("read_beyond_the_end", read_beyond_the_end);
    m.def("read_after_free", read_after_free);
    m.def("overflow_an_int", overflow_an_int);
    m.def("read_misaligned", read_misaligned);
    m.def("read_byte", read_byte, pybind11::arg("address"));
    m.def("race", race, pybind11::call_guard<pybind11::gil_scoped_release>());
}
