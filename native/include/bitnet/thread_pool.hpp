// A pool that runs numbered tasks on a fixed number of threads, the caller among them.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

namespace bitnet {

class ThreadPool {
public:
    // Throws std::system_error when the system does not give so many threads.
    explicit ThreadPool(int threads);
    ~ThreadPool();
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    int threads() const { return int(workers_.size()) + 1; }

    // Calls task(index, thread) once for every index in [0, count) and returns when all are done.  Which
    // thread runs a task is not fixed, so a task's result may not depend on it.  Tasks must not throw.
    using Task = std::function<void(int index, int thread)>;
    void run(int count, const Task& task);

private:
    void stop();
    void work(int thread);
    void take_tasks(int thread);
    bool wait_for_round(std::uint32_t seen);

    std::vector<std::thread> workers_;
    const Task* task_ = nullptr;
    int count_ = 0;
    std::atomic<int> next_{0};
    std::atomic<int> busy_{0};
    std::atomic<std::uint32_t> round_{0};
    std::atomic<bool> stopping_{false};
};

}  // namespace bitnet
