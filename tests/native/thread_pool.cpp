// Drives the thread pool as sessions do, with plain memory that tasks of different threads share from round to
// round: it is right only if a round orders what it should, and a sanitizer sees where it does not.
// Prints what is wrong; the exit status is 1 if anything is.

#include "bitnet/thread_pool.hpp"

#include <chrono>
#include <cstdio>
#include <memory>
#include <numeric>
#include <thread>
#include <vector>

using bitnet::ThreadPool;

namespace {

int problems = 0;

void require(bool condition, const char* what, int threads) {
    if (condition) return;
    std::printf("%d threads: %s\n", threads, what);
    ++problems;
}

// Each task adds to a place of its own, which mostly another thread wrote in the round before.
void add_in_rounds(ThreadPool& pool, int rounds) {
    const int threads = pool.threads();
    std::vector<int> places(97);
    std::vector<int> tasks_of_thread(static_cast<std::size_t>(threads));
    int expected_sum = 0, expected_tasks = 0;
    for (int round = 0; round < rounds; ++round) {
        const int count = round % (int(places.size()) + 1);  // none and one among them
        pool.run(count, [&](int index, int thread) {
            places[std::size_t(index)] += 1 + round;
            ++tasks_of_thread[std::size_t(thread)];
        });
        expected_sum += count * (1 + round);
        expected_tasks += count;
        const int sum = std::accumulate(places.begin(), places.end(), 0);
        require(sum == expected_sum, "a task did not run once, or its result was not there afterwards",
                threads);
        if (round % 50 == 0)
            std::this_thread::sleep_for(std::chrono::milliseconds(2));  // workers fall asleep
    }
    const int tasks = std::accumulate(tasks_of_thread.begin(), tasks_of_thread.end(), 0);
    require(tasks == expected_tasks, "two threads ran tasks under one number", threads);
}

}  // namespace

int main() {
    for (const int threads : {1, 2, 3, 4, 7}) {
        ThreadPool pool(threads);
        require(pool.threads() == threads, "the pool has another number of threads", threads);
        add_in_rounds(pool, 400);
    }
    for (int i = 0; i < 50; ++i) {  // ended at once, after a round, and asleep
        ThreadPool unused(3), used(3);
        add_in_rounds(used, 1 + i % 3);
    }
    {
        auto asleep = std::make_unique<ThreadPool>(4);
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        asleep.reset();
    }
    ThreadPool one(2), other(2);  // two sessions
    std::thread beside([&] { add_in_rounds(one, 200); });
    add_in_rounds(other, 200);
    beside.join();
    return problems == 0 ? 0 : 1;
}
