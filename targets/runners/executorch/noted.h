// What every operator took, run by run, noted while a program runs: what etdump.py reads of an
// ETDump, in the same order, without the library that writes one.

#pragma once

#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tracer.h"

namespace edgekd {

class Noted : public Tracer {
 public:
  /// Returns the events since the last time as JSON: [name, the delegate's name for it, ns].
  std::string run() {
    std::string events;
    for (const Event& event : events_) {
      events += events.empty() ? "[" : ", [";
      events += quoted(event.delegated ? "" : names_[event.name]) + ", ";
      events += quoted(event.delegated ? names_[event.name] : "") + ", ";
      events += std::to_string(event.ns) + "]";
    }
    events_.clear();
    return "[" + events + "]";
  }

  bool noted() const { return !events_.empty(); }

  Entry start_profiling(const char* name, executorch::runtime::ChainID,
                        executorch::runtime::DebugHandle) override {
    return entry(number(name));
  }
  void end_profiling(Entry begun) override {
    events_.push_back({begun.event_id, now_ns() - int64_t(begun.start_time), false});
  }
  Entry start_profiling_delegate(const char* name, DelegateId id) override {
    return entry(number(called(name, id)));
  }
  void end_profiling_delegate(Entry begun, const void*, size_t) override {
    events_.push_back({begun.event_id, now_ns() - int64_t(begun.start_time), true});
  }
  void log_profiling_delegate(const char* name, DelegateId id, et_timestamp_t start,
                              et_timestamp_t end, const void*, size_t) override {
    events_.push_back({number(called(name, id)), int64_t(end - start), true});
  }

 private:
  struct Event {
    int64_t name, ns;
    bool delegated;
  };

  static std::string called(const char* name, DelegateId id) {
    return name != nullptr ? name : std::to_string(id);
  }

  int64_t number(const std::string& name) {
    const auto found = numbers_.emplace(name, names_.size());
    if (found.second) names_.push_back(name);
    return found.first->second;
  }

  static std::string quoted(const std::string& name) {
    std::string text = "\"";
    for (char c : name) text += c == '"' || c == '\\' || uint8_t(c) < ' ' ? '?' : c;
    return text + '"';
  }

  std::vector<std::string> names_;
  std::unordered_map<std::string, int64_t> numbers_;
  std::vector<Event> events_;
};

}  // namespace edgekd
