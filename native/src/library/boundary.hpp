// Between C callers and the library: no exception leaves it, and what failed is remembered for the thread.
#pragma once

#include <memory>
#include <mutex>
#include <type_traits>

#include "bitnet.h"
#include "library/handles.hpp"
#include "library/model.hpp"
#include "library/session.hpp"

namespace bitnet::library {

Handles<OpenModel, bitnet_model>& models();
Handles<OpenSession, bitnet_session>& sessions();

// A session that this call has for itself until it returns.
class UsedSession {
public:
    // Throws ClosedHandle, and SessionIsBusy when another call uses it, as a callback's own session is.
    explicit UsedSession(const bitnet_session* handle);
    OpenSession* operator->() const { return session_.get(); }
    OpenSession& operator*() const { return *session_; }

private:
    std::shared_ptr<OpenSession> session_;  // before its lock, which is released first
    std::unique_lock<std::mutex> lock_;
};

struct SessionIsBusy : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// Remembers what is being thrown, as the last error of the thread, after the function's name.
bitnet_status remember_failure(const char* function) noexcept;

const char* last_error() noexcept;
void set_last_error(const char* text) noexcept;

// The call's result; when it throws null for a pointer, else a status, which is negative.
template <typename Call>
auto guarded(const char* function, Call&& call) noexcept -> decltype(call()) {
    using Result = decltype(call());
    try {
        return call();
    } catch (...) {
        const bitnet_status status = remember_failure(function);
        if constexpr (std::is_pointer_v<Result>)
            return nullptr;
        else
            return Result(status);
    }
}

}  // namespace bitnet::library
