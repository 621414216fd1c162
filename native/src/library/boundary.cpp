#include "library/boundary.hpp"

#include <atomic>
#include <cstdio>
#include <new>

#include "library/bad_input.hpp"

namespace bitnet::library {
namespace {

// No allocation: it also tells of too little memory.
thread_local char message[2048] = "";

bitnet_status remember(const char* function, const char* what, bitnet_status status) {
    std::snprintf(message, sizeof message, "%s: %s", function, what);
    return status;
}

}  // namespace

std::uintptr_t next_handle() {
    static std::atomic<std::uintptr_t> last{0};
    return ++last;
}

// Not destroyed when the program ends: threads may still be using them.
Handles<OpenModel, bitnet_model>& models() {
    static auto& handles = *new Handles<OpenModel, bitnet_model>("model");
    return handles;
}

Handles<OpenSession, bitnet_session>& sessions() {
    static auto& handles = *new Handles<OpenSession, bitnet_session>("session");
    return handles;
}

UsedSession::UsedSession(const bitnet_session* handle)
    : session_(sessions().get(handle)), lock_(session_->busy, std::try_to_lock) {
    if (!lock_.owns_lock()) throw SessionIsBusy("another call is using the session");
}

bitnet_status remember_failure(const char* function) noexcept {
    try {
        throw;
    } catch (const ClosedHandle& error) {
        return remember(function, error.what(), BITNET_CLOSED);
    } catch (const SessionIsBusy& error) {
        return remember(function, error.what(), BITNET_BUSY);
    } catch (const NoDevice& error) {
        return remember(function, error.what(), BITNET_NO_DEVICE);
    } catch (const BadInput& error) {
        return remember(function, error.what(), BITNET_BAD_INPUT);
    } catch (const std::bad_alloc&) {
        return remember(function, "there is not enough memory", BITNET_NO_MEMORY);
    } catch (const std::exception& error) {
        return remember(function, error.what(), BITNET_FAILED);
    } catch (...) {
        return remember(function, "failed for an unknown reason", BITNET_FAILED);
    }
}

const char* last_error() noexcept { return message; }

void set_last_error(const char* text) noexcept { std::snprintf(message, sizeof message, "%s", text); }

}  // namespace bitnet::library
