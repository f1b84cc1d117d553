// One ExecuTorch program in one process: answers requests, one JSON line each, as worker.py does.
//
// The command line says what is run (plan.h). A request is a flat JSON object, as
// {"do": "warm", "runs": 10, "seconds": 1.0, "tolerance": 0.05, "limit_s": 10.0}; only its numbers
// are read. What ExecuTorch prints goes to the error stream, so that it is not taken for an answer.

#include <ctime>
#include <fstream>
#include <iostream>
#include <memory>
#include <sys/resource.h>
#include <thread>
#include <unistd.h>

#include "answers_file.h"
#include "feeds.h"
#include "noted.h"
#include "outside.h"

#ifndef EDGEKD_VERSION
#define EDGEKD_VERSION "unknown"
#endif

namespace edgekd {

constexpr int kTracedRuns = 20;
/// Runs in which operators are timed, and how many of them, the first, do not count.
constexpr int kProfiledRuns = 25, kUnsettledRuns = 5;
/// Warm-up of a stream, which is no percentile's.
constexpr int64_t kFillingNs = 200000000;

/// Returns what follows `"key":` in a request.
inline const char* value_of(const std::string& request, const std::string& key) {
  const size_t place = request.find("\"" + key + "\":");
  if (place == std::string::npos) fail("a request lacks '" + key + "': " + request);
  return request.c_str() + place + key.size() + 3;
}

inline double real(const std::string& request, const std::string& key) {
  return std::strtod(value_of(request, key), nullptr);
}

inline int64_t whole(const std::string& request, const std::string& key) {
  return std::strtoll(value_of(request, key), nullptr, 10);
}

inline std::string real(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%.9g", value);
  return text;
}

inline double median(std::vector<int64_t> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2.0;
}

inline int64_t cpu_ns() {
  timespec spent{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent);
  return int64_t(spent.tv_sec) * 1000000000 + spent.tv_nsec;
}

/// Peak resident memory of this process in MiB: VmHWM starts anew with a program, and ru_maxrss,
/// where there is no /proc, keeps that of the process before.
inline double peak_rss_mib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("VmHWM:", 0) == 0) return std::strtod(line.c_str() + 6, nullptr) / 1024;
  }
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  return used.ru_maxrss / 1024.0;
}

/// Present memory of this process in MiB as JSON, what it shares divided by those who share it;
/// null where the kernel does not tell.
inline std::string pss_mib() {
  std::ifstream told("/proc/self/smaps_rollup");
  for (std::string line; std::getline(told, line);) {
    if (line.rfind("Pss:", 0) == 0) return real(std::strtod(line.c_str() + 4, nullptr) / 1024);
  }
  return "null";
}

class Worker {
 public:
  explicit Worker(const Plan& plan) : plan_(plan) {}

  std::string load() {
    const int64_t began = now_ns();
    program_ = std::make_unique<Program>(plan_);
    const int64_t loaded = now_ns();
    feeds_ = std::make_unique<Feeds>(plan_);
    return "{\"load_ms\": " + real((loaded - began) / 1e6) +
           ", \"version\": \"" EDGEKD_VERSION "\"}";
  }

  std::string first() { return "{\"first_ms\": " + real(timed(1, 0)[0] / 1e6) + "}"; }

  /// Runs until two windows in a row have the same median.
  std::string warm(int64_t runs, double seconds, double tolerance, double limit_s) {
    const int64_t began = now_ns();
    size_t total = 0;
    double before = 0;
    while (true) {
      const auto window = timed(std::max<int64_t>(1, runs / 2), seconds / 4);
      total += window.size();
      const double now = median(window), spent = (now_ns() - began) / 1e9;
      const bool settled = before > 0 && std::abs(now / before - 1) <= tolerance;
      before = now;
      if (total >= size_t(runs) && spent >= seconds && (settled || spent >= limit_s)) {
        return "{\"warmup_runs\": " + std::to_string(total) +
               ", \"settled\": " + (settled ? "true}" : "false}");
      }
    }
  }

  /// One measuring block. One run before it is not counted: another held the caches a moment ago.
  std::string block(int64_t runs, double seconds) {
    timed(1, 0);
    const int64_t cpu = cpu_ns(), wall = now_ns();
    const auto taken = timed(runs, seconds);
    const double wall_s = (now_ns() - wall) / 1e9, cpu_s = (cpu_ns() - cpu) / 1e9;
    std::string ns;
    for (int64_t each : taken) ns += (ns.empty() ? "" : ", ") + std::to_string(each);
    return "{\"ns\": [" + ns + "], \"wall_s\": " + real(wall_s) + ", \"cpu_s\": " + real(cpu_s) +
           "}";
  }

  /// Runs every example once, `batch` at a time where any number goes; one .npy file per output.
  std::string score(int64_t batch) {
    const int64_t most = program_->max_batch() ? program_->max_batch() : batch;
    const int64_t step = plan_.any_batch ? std::min(batch, most) : plan_.step;
    std::vector<AnswersFile> files;
    for (const auto& name : plan_.outputs) files.emplace_back(plan_.scores, name);
    for (int64_t start = 0; start < plan_.examples; start += step) {
      const int64_t count = std::min(step, plan_.examples - start);
      feeds_->forget();
      const Call call = feeds_->sample(start, plan_.any_batch ? count : step);
      const auto raw = checked(program_->run(call), "the program cannot be run");
      if (raw.size() != files.size()) fail("the program gave another number of outputs");
      for (size_t index = 0; index < raw.size(); ++index) files[index].add(raw[index], count);
    }
    for (auto& file : files) file.close();
    return "{\"examples\": " + std::to_string(plan_.examples) +
           ", \"batch\": " + std::to_string(step) + "}";
  }

  /// The share of time outside the back-end, of a program loaded anew that keeps count.
  std::string trace() {
    auto owned = std::make_unique<Outside>();
    Outside* outside = owned.get();
    Program traced(plan_, std::move(owned));
    for (int run = 0; run < kTracedRuns; ++run) {
      feeds_->keep(checked(traced.run(feeds_->next()), "the program cannot be run"));
      if (run == 0) outside->restart();
    }
    if (!outside->noted()) fail("ExecuTorch noted no time: it was built without its event tracer");
    return "{\"undelegated_time\": " + real(outside->share()) + "}";
  }

  /// What ExecuTorch noted of every operator, run by run, of a program loaded anew that keeps
  /// count; null where it was built without its event tracer.
  std::string profile() {
    auto owned = std::make_unique<Noted>();
    Noted* noted = owned.get();
    Program traced(plan_, std::move(owned));
    Feeds feeds(plan_);
    std::string runs;
    for (int run = 0; run < kProfiledRuns; ++run) {
      const Call& call = feeds.next();
      noted->run();
      feeds.keep(checked(traced.run(call), "the program cannot be run"));
      if (!noted->noted()) return "{\"profile\": null}";
      if (run >= kUnsettledRuns) runs += (runs.empty() ? "" : ", ") + noted->run();
    }
    return "{\"profile\": {\"noted\": [" + runs + "]}}";
  }

  /// Makes ready to run `batch` examples a call, and warms up; says what its clock shows then.
  std::string fill(int64_t batch) {
    const int64_t most = program_->max_batch();
    if (batch > 1 && most && batch > most) {
      fail("it takes at most " + std::to_string(most) + " examples a call");
    }
    calls_ = batch > 1 ? feeds_->calls(batch) : std::vector<Call>{};
    batch_ = batch;
    const int64_t end = now_ns() + kFillingNs;
    for (int64_t turn = 0; turn < 2 || now_ns() < end; ++turn) one(turn);
    return "{\"now_ns\": " + std::to_string(now_ns()) + "}";
  }

  /// Runs from the time `at` on, which other processes share, for `seconds`.
  std::string stream(int64_t at, double seconds) {
    std::this_thread::sleep_for(std::chrono::nanoseconds(at - now_ns()));
    const int64_t cpu = cpu_ns(), began = now_ns(), end = began + int64_t(seconds * 1e9);
    int64_t turn = 0;
    for (; now_ns() < end; ++turn) one(turn);
    const double wall_s = (now_ns() - began) / 1e9, cpu_s = (cpu_ns() - cpu) / 1e9;
    const int64_t samples = batch_ * feeds_->rows();
    return "{\"samples\": " + std::to_string(turn * samples) +
           ", \"samples_a_call\": " + std::to_string(samples) + ", \"wall_s\": " + real(wall_s) +
           ", \"cpu_s\": " + real(cpu_s) + "}";
  }

  std::string end() {
    double load[1] = {0};
    if (getloadavg(load, 1) != 1) load[0] = 0;
    return "{\"peak_rss_mib\": " + real(peak_rss_mib()) + ", \"pss_mib\": " + pss_mib() +
           ", \"load_average\": " + real(load[0]) +
           ", \"modules\": [\"edgekd-executorch\"]}";
  }

 private:
  /// Runs once, with the examples whose turn it is.
  void one(int64_t turn) {
    const Call& call = calls_.empty() ? feeds_->next() : calls_[turn % calls_.size()];
    const auto raw = checked(program_->run(call), "the program cannot be run");
    if (calls_.empty()) feeds_->keep(raw);
  }

  /// Returns nanoseconds of at least `runs` calls over at least `seconds`.
  std::vector<int64_t> timed(int64_t runs, double seconds) {
    std::vector<int64_t> taken;
    const int64_t end = now_ns() + int64_t(seconds * 1e9);
    while (true) {
      const Call& call = feeds_->next();
      const int64_t began = now_ns();
      const auto raw = program_->run(call);
      const int64_t ended = now_ns();
      if (!raw.ok()) checked(raw.error(), "the program cannot be run");
      taken.push_back(ended - began);
      feeds_->keep(raw.get());
      if (int64_t(taken.size()) >= runs && ended >= end) return taken;
    }
  }

  const Plan& plan_;
  std::unique_ptr<Program> program_;
  std::unique_ptr<Feeds> feeds_;
  std::vector<Call> calls_;
  int64_t batch_ = 1;
};

inline std::string answer(Worker& worker, const std::string& request) {
  const std::string asked = value_of(request, "do");
  const auto is = [&](const char* doing) {
    return asked.rfind(std::string(" \"") + doing + "\"", 0) == 0;
  };
  if (is("version")) return "{\"version\": \"" EDGEKD_VERSION "\"}";
  if (is("load")) return worker.load();
  if (is("first")) return worker.first();
  if (is("warm")) {
    return worker.warm(real(request, "runs"), real(request, "seconds"), real(request, "tolerance"),
                       real(request, "limit_s"));
  }
  if (is("block")) return worker.block(real(request, "runs"), real(request, "seconds"));
  if (is("score")) return worker.score(real(request, "batch"));
  if (is("trace")) return worker.trace();
  if (is("profile")) return worker.profile();
  if (is("fill")) return worker.fill(real(request, "batch"));
  if (is("stream")) return worker.stream(whole(request, "at"), real(request, "seconds"));
  if (is("end")) return worker.end();
  fail("this is no request: " + request);
}

}  // namespace edgekd

int main(int argc, char** argv) {
  std::FILE* answers = fdopen(dup(1), "w");
  dup2(2, 1);
  const edgekd::Plan plan = edgekd::read_plan(argc, argv);
  edgekd::Worker worker(plan);
  for (std::string request; std::getline(std::cin, request);) {
    std::fprintf(answers, "%s\n", edgekd::answer(worker, request).c_str());
    std::fflush(answers);
  }
}
