#include "bitnet/thread_pool.hpp"

namespace bitnet {
namespace {

// A few tens of microseconds: longer than the serial part between two matmuls of a decoded token, and short
// enough that an idle session costs nothing.
constexpr int spins_before_sleep = 4000;

void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

}  // namespace

ThreadPool::ThreadPool(int threads) {
    try {
        for (int thread = 1; thread < threads; ++thread)
            workers_.emplace_back([this, thread] { work(thread); });
    } catch (...) {  // the system gives no more threads
        stop();
        throw;
    }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() {
    stopping_ = true;
    ++round_;
    round_.notify_all();
    for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run(int count, const Task& task) {
    if (workers_.empty() || count <= 1) {
        for (int index = 0; index < count; ++index) task(index, 0);
        return;
    }
    task_ = &task;
    count_ = count;
    next_.store(0, std::memory_order_relaxed);
    busy_.store(int(workers_.size()), std::memory_order_relaxed);
    round_.fetch_add(1, std::memory_order_release);
    round_.notify_all();
    take_tasks(0);
    for (int spin = 0; busy_.load(std::memory_order_acquire) != 0; ++spin) {
        if (spin < spins_before_sleep)
            pause();
        else
            std::this_thread::yield();
    }
}

void ThreadPool::take_tasks(int thread) {
    for (int index; (index = next_.fetch_add(1, std::memory_order_relaxed)) < count_;)
        (*task_)(index, thread);
}

bool ThreadPool::wait_for_round(std::uint32_t seen) {
    for (int spin = 0; spin < spins_before_sleep; ++spin) {
        if (round_.load(std::memory_order_acquire) != seen) return !stopping_;
        pause();
    }
    round_.wait(seen, std::memory_order_acquire);
    return !stopping_;
}

void ThreadPool::work(int thread) {
    for (std::uint32_t seen = 0; wait_for_round(seen);) {
        seen = round_.load(std::memory_order_acquire);
        take_tasks(thread);
        busy_.fetch_sub(1, std::memory_order_release);
    }
}

}  // namespace bitnet
