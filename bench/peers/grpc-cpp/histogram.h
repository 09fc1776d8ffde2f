#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

/// Durations in nanoseconds, counted in buckets that are linear within each power of two: a value
/// is known to better than 1 %. Any thread may add.
class Histogram {
  public:
    void add(uint64_t value) {
        counts_[index(value)].fetch_add(1, std::memory_order_relaxed);
        uint64_t seen = max_.load(std::memory_order_relaxed);
        while (seen < value && !max_.compare_exchange_weak(seen, value)) {
        }
    }

    uint64_t count() const {
        uint64_t sum = 0;
        for (const auto &count : counts_) sum += count.load(std::memory_order_relaxed);
        return sum;
    }

    double quantile(double part) const {
        double rank = part * double(count());
        uint64_t seen = 0;
        for (size_t i = 0; i < BUCKETS; i++) {
            seen += counts_[i].load(std::memory_order_relaxed);
            if (seen > 0 && double(seen) >= rank) return middle(i);
        }
        return 0;
    }

    double max() const { return double(max_.load()); }

  private:
    static constexpr int BITS = 7; // 128 buckets for each power of two
    static constexpr size_t BUCKETS = size_t(65 - BITS) << BITS;

    static size_t index(uint64_t value) {
        if (value >> BITS == 0) return size_t(value);
        int shift = 63 - __builtin_clzll(value) - BITS;
        return (size_t(shift) << BITS) + size_t(value >> shift);
    }

    static double middle(size_t index) {
        if (index >> BITS < 2) return double(index);
        int shift = int(index >> BITS) - 1;
        uint64_t low = (uint64_t(index) - (uint64_t(shift) << BITS)) << shift;
        return double(low) + double(uint64_t(1) << shift) / 2;
    }

    std::atomic<uint64_t> counts_[BUCKETS] = {};
    std::atomic<uint64_t> max_{0};
};
