// Handles: what C callers hold instead of pointers.
//
// A handle is a number that is never used twice, dressed as a pointer and never followed.  So one that was closed, or
// that never was one, is found out.  An object lives until its handle is closed and the last call on it has returned.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>

namespace bitnet::library {

struct ClosedHandle : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// Over all kinds of handles, so that one kind is never taken for another.
std::uintptr_t next_handle();

template <typename Object, typename Handle>
class Handles {
public:
    // what  is said of a handle in messages: "model"
    explicit Handles(const char* what) : what_(what) {}

    Handle* add(std::shared_ptr<Object> object) {
        const std::lock_guard lock(mutex_);
        const std::uintptr_t number = next_handle();
        objects_.emplace(number, std::move(object));
        return reinterpret_cast<Handle*>(number);
    }

    // Throws ClosedHandle.
    std::shared_ptr<Object> get(const Handle* handle) const {
        const std::lock_guard lock(mutex_);
        const auto found = objects_.find(reinterpret_cast<std::uintptr_t>(handle));
        if (found != objects_.end()) return found->second;
        throw ClosedHandle(std::string("the ") + what_ + (handle == nullptr ? " is null" : " is not open"));
    }

    // Closing null, or twice, does nothing.
    void close(const Handle* handle) {
        std::shared_ptr<Object> closed;  // freed when the lock is gone
        const std::lock_guard lock(mutex_);
        const auto found = objects_.find(reinterpret_cast<std::uintptr_t>(handle));
        if (found == objects_.end()) return;
        closed = std::move(found->second);
        objects_.erase(found);
    }

    void close_all() {
        std::map<std::uintptr_t, std::shared_ptr<Object>> closed;
        const std::lock_guard lock(mutex_);
        closed.swap(objects_);
    }

private:
    const char* what_;
    mutable std::mutex mutex_;
    std::map<std::uintptr_t, std::shared_ptr<Object>> objects_;
};

}  // namespace bitnet::library
