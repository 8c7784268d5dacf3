// Starts programs without waiting for them. Node.js waits until the new program has let go of its copies of our
// descriptors, and for one of a file whose server hangs that is for ever. posix_spawn returns before that.
#include <fcntl.h>
#include <napi.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <string>
#include <utility>
#include <vector>

#include "arguments.h"
#include "exports.h"

namespace lunport {

namespace {

constexpr int kNoDescriptor = -1;
// Where the program finds the descriptor that it is given, behind the standard ones.
constexpr int kGivenDescriptor = 3;
// Added to the number of a signal that ended a program, which else is its status.
constexpr int kSignalled = 256;

class Pipe {
 public:
  ~Pipe() {
    for (const int fd : ends_) {
      if (fd >= 0) close(fd);
    }
  }
  Pipe() = default;
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  bool open() { return pipe2(ends_.data(), O_CLOEXEC) == 0; }
  int write_end() const { return ends_[1]; }
  int take_read_end() { return std::exchange(ends_[0], kNoDescriptor); }

 private:
  std::array<int, 2> ends_ = {kNoDescriptor, kNoDescriptor};
};

std::vector<std::string> strings_argument(const Napi::CallbackInfo& info, size_t index) {
  const Napi::Array array = info[index].As<Napi::Array>();
  std::vector<std::string> strings;
  for (uint32_t i = 0; i < array.Length(); i++) strings.push_back(array.Get(i).As<Napi::String>());
  return strings;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> all;
  for (std::string& string : strings) all.push_back(string.data());
  all.push_back(nullptr);
  return all;
}

// Returns 0 or an errno. The program has the signals of a process that nobody has changed.
int spawn(const std::string& path, std::vector<std::string>& arguments, std::vector<std::string>& environment,
          int given, int output, int errors, pid_t& pid) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, errors, STDERR_FILENO);
  if (given != kNoDescriptor) posix_spawn_file_actions_adddup2(&actions, given, kGivenDescriptor);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  const int error = posix_spawn(&pid, path.c_str(), &actions, &attributes, pointers(arguments).data(),
                                pointers(environment).data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return error;
}

// (path, arguments from the program's name on, environment, descriptor or -1): {pidfd, output, errors}, or -errno.
Napi::Value spawn_program(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  std::vector<std::string> arguments = strings_argument(info, 1);
  std::vector<std::string> environment = strings_argument(info, 2);
  Pipe output;
  Pipe errors;
  if (!output.open() || !errors.open()) return number(env, -errno);
  pid_t pid;
  const int error = spawn(info[0].As<Napi::String>(), arguments, environment, descriptor_argument(info, 3),
                          output.write_end(), errors.write_end(), pid);
  if (error != 0) return number(env, -error);
  const int64_t pidfd = or_errno(syscall(SYS_pidfd_open, pid, 0));
  if (pidfd < 0) {
    // Nobody would learn of its end.
    kill(pid, SIGKILL);
    return number(env, pidfd);
  }
  Napi::Object program = Napi::Object::New(env);
  program.Set("pidfd", number(env, pidfd));
  program.Set("output", number(env, output.take_read_end()));
  program.Set("errors", number(env, errors.take_read_end()));
  return program;
}

// (pidfd), which is readable once the program has ended: its status, or 256 and the number of the signal that ended it,
// or -errno.
Napi::Value reap_program(const Napi::CallbackInfo& info) {
  siginfo_t end = {};
  const id_t pidfd = static_cast<id_t>(descriptor_argument(info, 0));
  if (waitid(static_cast<idtype_t>(P_PIDFD), pidfd, &end, WEXITED | WNOHANG) != 0) return number(info.Env(), -errno);
  return number(info.Env(), end.si_code == CLD_EXITED ? end.si_status : kSignalled + end.si_status);
}

}  // namespace

void export_program(Napi::Object exports) {
  add<spawn_program>(exports, "spawnProgram");
  add<reap_program>(exports, "reapProgram");
}

}  // namespace lunport
