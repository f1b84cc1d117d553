// The time that kernels outside delegates take, noted while a program runs: as etdump.py reads it
// of an ETDump, without the library that writes one.

#pragma once

#include "tracer.h"

namespace edgekd {

class Outside : public Tracer {
 public:
  /// Forgets what was noted so far.
  void restart() { whole_ns_ = outside_ns_ = 0; }
  bool noted() const { return whole_ns_ > 0; }
  double share() const { return double(outside_ns_) / double(whole_ns_); }

  Entry start_profiling(const char* name, executorch::runtime::ChainID,
                        executorch::runtime::DebugHandle) override {
    Entry started = entry(kOther);
    if (std::strcmp(name, "Method::execute") == 0) started.event_id = kWhole;
    if (std::strcmp(name, "OPERATOR_CALL") == 0) started.event_id = kOutside;
    return started;
  }

  void end_profiling(Entry entry) override {
    const int64_t spent = now_ns() - int64_t(entry.start_time);
    if (entry.event_id == kWhole) whole_ns_ += spent;
    if (entry.event_id == kOutside) outside_ns_ += spent;
  }

 private:
  enum Event : int64_t { kOther, kWhole, kOutside };
  int64_t whole_ns_ = 0, outside_ns_ = 0;
};

}  // namespace edgekd
