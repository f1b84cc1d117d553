// The time that kernels outside delegates take, noted while a program runs: as etdump.py reads it
// of an ETDump, without the library that writes one.

#pragma once

#include <chrono>
#include <cstring>

#include <executorch/runtime/core/event_tracer.h>

namespace edgekd {

inline int64_t now_ns() {
  const auto since = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(since).count();
}

class Outside : public executorch::runtime::EventTracer {
 public:
  using Entry = executorch::runtime::EventTracerEntry;
  using DelegateId = executorch::runtime::DelegateDebugIntId;
  template <typename T>
  using Result = executorch::runtime::Result<T>;
  using Tensor = executorch::aten::Tensor;

  /// Forgets what was noted so far.
  void restart() { whole_ns_ = outside_ns_ = 0; }
  bool noted() const { return whole_ns_ > 0; }
  double share() const { return double(outside_ns_) / double(whole_ns_); }

  Entry start_profiling(const char* name, executorch::runtime::ChainID chain,
                        executorch::runtime::DebugHandle handle) override {
    Entry entry{kOther, chain, handle, uint64_t(now_ns()),
                executorch::runtime::DelegateDebugIdType::kNone};
    if (std::strcmp(name, "Method::execute") == 0) entry.event_id = kWhole;
    if (std::strcmp(name, "OPERATOR_CALL") == 0) entry.event_id = kOutside;
    return entry;
  }

  void end_profiling(Entry entry) override {
    const int64_t spent = now_ns() - int64_t(entry.start_time);
    if (entry.event_id == kWhole) whole_ns_ += spent;
    if (entry.event_id == kOutside) outside_ns_ += spent;
  }

  void create_event_block(const char*) override {}
  Entry start_profiling_delegate(const char*, DelegateId) override { return Entry{kOther}; }
  void end_profiling_delegate(Entry, const void*, size_t) override {}
  void log_profiling_delegate(const char*, DelegateId, et_timestamp_t, et_timestamp_t, const void*,
                              size_t) override {}
  void track_allocation(executorch::runtime::AllocatorID, size_t) override {}
  executorch::runtime::AllocatorID track_allocator(const char*) override { return 0; }
  Result<bool> log_evalue(const executorch::runtime::EValue&,
                          executorch::runtime::LoggedEValueType) override {
    return false;
  }
  Result<bool> log_intermediate_output_delegate(const char*, DelegateId, const Tensor&) override {
    return false;
  }
  Result<bool> log_intermediate_output_delegate(
      const char*, DelegateId, const executorch::runtime::ArrayRef<Tensor>) override {
    return false;
  }
  Result<bool> log_intermediate_output_delegate(const char*, DelegateId, const int&) override {
    return false;
  }
  Result<bool> log_intermediate_output_delegate(const char*, DelegateId, const bool&) override {
    return false;
  }
  Result<bool> log_intermediate_output_delegate(const char*, DelegateId, const double&) override {
    return false;
  }
  void set_delegation_intermediate_output_filter(
      executorch::runtime::EventTracerFilterBase*) override {}

 private:
  enum Event : int64_t { kOther, kWhole, kOutside };
  int64_t whole_ns_ = 0, outside_ns_ = 0;
};

}  // namespace edgekd
