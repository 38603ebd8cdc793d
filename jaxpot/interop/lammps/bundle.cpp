// Bundles of `jaxpot export`: programs that were compiled from a potential, run by a plugin of XLA, without Python.
//
// bundles.py writes such files and says what is in them. A program has arrays of fixed lengths; of those in a bundle the
// shortest is taken that holds the rows, and compiled when it is first needed. Rows are copied into its arrays when they
// are new, positions in every step; on a CPU the programs read and write where the arrays lie.
//
// SPDX-License-Identifier: MIT

#include "bundle.h"
#include "pjrt.h"

#include <dlfcn.h>
#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#ifndef JAXPOT_PACKAGES
#define JAXPOT_PACKAGES "."    // the folder of Python's packages, in which plugins of XLA are looked for
#endif

namespace {

const char MAGIC[] = "jaxpot bundle 1";
constexpr size_t ALIGNMENT = 64;

[[noreturn]] __attribute__((format(printf, 1, 2))) void refuse(const char *format, ...)
{
  char text[1000];
  va_list words;
  va_start(words, format);
  vsnprintf(text, sizeof(text), format, words);
  va_end(words);
  throw std::runtime_error(text);
}

// An array at an address that programs can use as it is.
template <class T> struct Aligned {
  T *data = nullptr;
  size_t size = 0;
  Aligned() = default;
  Aligned(const Aligned &) = delete;
  Aligned &operator=(const Aligned &) = delete;
  ~Aligned() { free(data); }
  void resize(size_t count)
  {
    if (count == size && data) return;
    free(data);
    size_t bytes = (std::max<size_t>(1, count) * sizeof(T) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    data = (T *) aligned_alloc(ALIGNMENT, bytes);
    if (!data) throw std::bad_alloc();
    size = count;
  }
};

// Gives the plugin the flags of JAXPOT_XLA_FLAGS, or none, in place of those of XLA_FLAGS: a flag that it does not know
// ends the process, and those that are set are for the XLA of JAX, of another version, which may not have read them yet.
struct OwnFlags {
  std::string flags;
  bool any;
  OwnFlags() : any(getenv("XLA_FLAGS"))
  {
    if (any) flags = getenv("XLA_FLAGS");
    const char *own = getenv("JAXPOT_XLA_FLAGS");
    setenv("XLA_FLAGS", own ? own : "", 1);
  }
  ~OwnFlags()
  {
    if (any) setenv("XLA_FLAGS", flags.c_str(), 1);
    else unsetenv("XLA_FLAGS");
  }
};

// The plugin and its one client, which are there as long as the process.
struct Runtime {
  const pjrt::Api *api = nullptr;
  void *client = nullptr, *device = nullptr;
  std::string path, platform;
  bool in_place = false;    // whether programs can use the memory of the host

  template <class Fields> void *ask(pjrt::Function function, pjrt::Call<Fields> &call) const
  {
    return api->functions[function](&call.memory);
  }

  template <class Fields> void tell(pjrt::Function function, pjrt::Call<Fields> &call, const char *what) const
  {
    void *error = ask(function, call);
    if (error) refuse("%s: %s", what, message_of(error).c_str());
  }

  std::string message_of(void *error) const
  {
    pjrt::Call<pjrt::ErrorMessage> message;
    message->error = error;
    ask(pjrt::ERROR_MESSAGE, message);
    std::string text(message->text, std::min<size_t>(message->size, 600));
    std::replace(text.begin(), text.end(), '\n', ' ');
    pjrt::Call<pjrt::One> end;
    end->object = error;
    ask(pjrt::ERROR_DESTROY, end);
    return text;
  }

  void destroy(pjrt::Function function, void *object) const
  {
    if (!object) return;
    pjrt::Call<pjrt::One> call;
    call->object = object;
    tell(function, call, "the PJRT plugin fails to free memory");
  }

  void wait(void *event, const char *what) const
  {
    if (!event) return;
    pjrt::Call<pjrt::One> call;
    call->object = event;
    tell(pjrt::EVENT_AWAIT, call, what);
    destroy(pjrt::EVENT_DESTROY, event);
  }

  void *buffer(const void *data, int type, const std::vector<int64_t> &dimensions) const
  {
    pjrt::Call<pjrt::BufferFromHost> call;
    call->client = client;
    call->data = data;
    call->type = type;
    call->dimensions = dimensions.data();
    call->count = dimensions.size();
    call->semantics = in_place ? pjrt::IN_PLACE : pjrt::COPIED;
    call->device = device;
    tell(pjrt::CLIENT_BUFFER_FROM_HOST, call, "the PJRT plugin does not take an array");
    // In place this would come when the buffer is destroyed.
    destroy(pjrt::EVENT_DESTROY, call->done);
    return call->buffer;
  }

  // XLA's versions of StableHLO: {1, 14, 1}; zeros where the plugin does not say.
  std::vector<int64_t> newest_programs() const
  {
    pjrt::Call<pjrt::Attributes> call;
    std::vector<int64_t> version(3, 0);
    tell(pjrt::PLUGIN_ATTRIBUTES, call, "the PJRT plugin does not say what it is");
    for (size_t k = 0; k < call->count; k++) {
      const pjrt::NamedValue &value = call->values[k];
      bool current = std::string(value.name, value.name_size) == "stablehlo_current_version";
      if (current && value.kind == pjrt::INTEGERS && value.size == 3)
        version.assign(value.integers, value.integers + 3);
    }
    return version;
  }
};

bool is_file(const std::string &path)
{
  struct stat about;
  return stat(path.c_str(), &about) == 0 && S_ISREG(about.st_mode);
}

std::string path_of_plugin(const std::string &platform)
{
  const char *given = getenv("JAXPOT_PJRT");
  if (given && *given) {
    if (!is_file(given)) refuse("JAXPOT_PJRT names no file: %s", given);
    return given;
  }
  const std::string packages = JAXPOT_PACKAGES;
  std::vector<std::string> places = {packages + "/lammps_jax_pjrt_cpu/pjrt_c_api_cpu_plugin.so"};
  if (platform == "cuda")
    places = {packages + "/jax_plugins/xla_cuda13/xla_cuda_plugin.so",
              packages + "/jax_plugins/xla_cuda12/xla_cuda_plugin.so"};
  for (auto &place : places)
    if (is_file(place)) return place;
  const char *package = platform == "cuda" ? "jax[cuda12]" : "lammps-jax-pjrt-cpu";
  refuse("bundles for %s run on a PJRT plugin of XLA, and none is installed: `pip install '%s'`, or set JAXPOT_PJRT to "
         "the path of one", platform.c_str(), package);
}

// One client for all bundles of the process.
Runtime &runtime_for(const std::string &platform)
{
  static Runtime runtime;
  if (runtime.client) {
    if (runtime.platform != platform)
      refuse("this process computes on %s, by %s, and the bundle is for %s", runtime.platform.c_str(),
             runtime.path.c_str(), platform.c_str());
    return runtime;
  }
  // One thread for each rank, and no messages but errors; read when the plugin is loaded.
  setenv("PJRT_NPROC", "1", 0);
  setenv("TF_CPP_MIN_LOG_LEVEL", "2", 0);
  runtime.path = path_of_plugin(platform);
  const char *path = runtime.path.c_str();
  OwnFlags own;
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) refuse("the PJRT plugin cannot be loaded: %s", dlerror());
  auto get = (const pjrt::Api *(*) ()) dlsym(library, "GetPjrtApi");
  if (!get) refuse("%s is no PJRT plugin: it has no GetPjrtApi", path);
  runtime.api = get();
  int major = runtime.api->version.major, minor = runtime.api->version.minor;
  if (major != pjrt::MAJOR || minor < pjrt::MINOR || runtime.api->head.size < sizeof(pjrt::Api))
    refuse("%s has version %d.%d of PJRT's interface; expected %d.%d or a later one of %d", path, major, minor,
           pjrt::MAJOR, pjrt::MINOR, pjrt::MAJOR);
  pjrt::Call<pjrt::One> initialize;
  runtime.tell(pjrt::PLUGIN_INITIALIZE, initialize, "the PJRT plugin does not start");

  // One device; on a GPU memory as it is needed: each rank has a client of its own.
  pjrt::NamedValue options[1];
  memset(options, 0, sizeof(options));
  for (auto &option : options) option.head.size = sizeof(option);
  options[0].name = platform == "cuda" ? "preallocate" : "cpu_device_count";
  options[0].name_size = strlen(options[0].name);
  options[0].kind = platform == "cuda" ? pjrt::BOOLEAN : pjrt::INTEGER;
  options[0].size = 1;
  if (platform == "cuda") options[0].boolean = false;
  else options[0].integer = 1;
  pjrt::Call<pjrt::ClientCreate> create;
  create->options = options;
  create->count = 1;
  void *error = runtime.ask(pjrt::CLIENT_CREATE, create);
  if (error) {    // a plugin that knows no options
    runtime.message_of(error);
    create->options = nullptr;
    create->count = 0;
    runtime.tell(pjrt::CLIENT_CREATE, create, "the PJRT plugin does not start");
  }
  pjrt::Call<pjrt::PlatformName> name;
  name->client = create->client;
  runtime.tell(pjrt::CLIENT_PLATFORM_NAME, name, "the PJRT plugin does not name its platform");
  runtime.platform.assign(name->name, name->size);
  if (runtime.platform != platform)
    refuse("the bundle is for %s, and %s computes on %s", platform.c_str(), path, runtime.platform.c_str());
  pjrt::Call<pjrt::Devices> devices;
  devices->client = create->client;
  runtime.tell(pjrt::CLIENT_ADDRESSABLE_DEVICES, devices, "the PJRT plugin has no devices");
  if (!devices->count) refuse("%s has no devices", path);
  runtime.device = devices->devices[0];
  runtime.in_place = platform == "cpu";
  runtime.client = create->client;
  return runtime;
}

uint32_t checksum(const char *data, size_t size)    // CRC-32 as zlib has it
{
  static uint32_t table[256];
  if (!table[1])
    for (uint32_t k = 0; k < 256; k++) {
      uint32_t value = k;
      for (int bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320u ^ (value >> 1) : value >> 1;
      table[k] = value;
    }
  uint32_t sum = 0xffffffffu;
  for (size_t k = 0; k < size; k++) sum = table[(sum ^ (unsigned char) data[k]) & 255] ^ (sum >> 8);
  return sum ^ 0xffffffffu;
}

struct Piece {
  size_t offset = 0, size = 0;
};

struct Program {
  std::string kind;
  int atoms = 0, rows = 0, places = 0;
  std::vector<int> inner;
  Piece code;
  void *executable = nullptr;
};

class Bundle {
 public:
  std::string path, potential, jax = "?", stablehlo = "?", platform;
  double cutoff = 0.0, skin = 0.0, halo = 0.0;
  int hops = 0;
  std::vector<double> inner;
  std::vector<std::pair<std::string, int>> elements;

  explicit Bundle(const char *name) : path(name)
  {
    read();
    runtime = &runtime_for(platform);
    check_version();
    for (size_t k = 0; k < parameters.size(); k++) {
      Aligned<char> &copy = *parameters[k].memory;
      copy.resize(parameters[k].piece.size);
      memcpy(copy.data, &bytes[parameters[k].piece.offset], parameters[k].piece.size);
      arguments.push_back(runtime->buffer(copy.data, parameters[k].type, parameters[k].dimensions));
    }
  }

  // Number of a type's element, 0 for NULL.
  int number(const std::string &name) const
  {
    if (name == "NULL") return 0;
    for (auto &element : elements)
      if (element.first == name) return element.second;
    std::string known;
    for (auto &element : elements) known += (known.empty() ? "" : ", ") + element.first;
    if (elements.size() > 100) known = "chemical elements";
    refuse("%s knows %s, and an atom type is %s", path.c_str(), known.c_str(), name.c_str());
  }

  void call(jaxpot_rows &call)
  {
    if (call.want != FORCES && call.want != ATOM_VIRIALS) refuse("a bundle has no error bars");
    const char *kind = call.want == FORCES ? "forces" : "virials";
    Set &set = call.want == FORCES ? forces : virials;
    if (call.fresh) forces.stale = virials.stale = true;
    if (set.stale) choose(set, kind, call);
    size_t all = 3 * (size_t) call.all;
    std::copy(call.x, call.x + all, set.x.data);
    set.buffers[0] = runtime->buffer(set.x.data, pjrt::F64, {set.program->atoms, 3});
    const char *failed = "a program of the bundle fails";
    std::vector<void *> given = arguments;
    given.insert(given.end(), set.buffers.begin(), set.buffers.end());
    std::vector<void *> outputs(call.want == FORCES ? 3 : 1, nullptr);
    pjrt::Call<pjrt::ExecuteOptions> options;
    pjrt::Call<pjrt::Execute> run;
    void *const *inputs = given.data();
    void **results = outputs.data();
    void *done = nullptr;
    run->executable = set.program->executable;
    run->options = &options.memory;
    run->arguments = &inputs;
    run->devices = 1;
    run->count = given.size();
    run->outputs = &results;
    run->done = &done;
    runtime->tell(pjrt::LOADED_EXECUTE, run, failed);
    runtime->wait(done, failed);
    if (call.want == FORCES) {
      const double *totals = values(outputs[0], 7, set.totals);
      const double *pulled = values(outputs[1], all, set.forces);
      double sum = 0.0;
      for (size_t k = 0; k < all; k++) {
        call.forces[k] += pulled[k];
        sum += pulled[k];
      }
      if (!std::isfinite(totals[0]) || !std::isfinite(sum))
        refuse("energy or forces are not finite: two atoms are at one point, or the run has broken");
      call.energy = totals[0];
      std::copy(totals + 1, totals + 7, call.virial);
      if (call.energies) {
        const double *sites = values(outputs[2], call.local, set.sites);
        for (int i = 0; i < call.local; i++) call.energies[i] += sites[i];
      }
    } else {
      const double *moved = values(outputs[0], 9 * (size_t) call.all, set.forces);
      for (size_t k = 0; k < 9 * (size_t) call.all; k++) call.virials[k] += moved[k];
    }
    for (void *output : outputs) runtime->destroy(pjrt::BUFFER_DESTROY, output);
    runtime->destroy(pjrt::BUFFER_DESTROY, set.buffers[0]);
    set.buffers[0] = nullptr;
  }

 private:
  struct Parameter {
    int type;
    std::vector<int64_t> dimensions;
    Piece piece;
    std::unique_ptr<Aligned<char>> memory;
  };

  // A program that is in use, and its arrays.
  struct Set {
    bool stale = true;
    Program *program = nullptr;
    Aligned<double> x;
    Aligned<int> numbers, centers, others, counts, own, real;
    std::vector<void *> buffers;    // of positions and the six others
    std::vector<double> totals, forces, sites;
  };

  Runtime *runtime = nullptr;
  std::string bytes;
  Piece options;
  std::vector<Parameter> parameters;
  std::vector<Program> programs;
  std::vector<void *> arguments;
  Set forces, virials;

  [[noreturn]] void spoilt(const char *how) const
  {
    refuse("%s is not the bundle that was written: %s; export it again", path.c_str(), how);
  }

  void read()
  {
    std::ifstream whole_file(path, std::ios::binary);
    std::string line;
    if (!whole_file || !std::getline(whole_file, line) || line != MAGIC)
      refuse("%s is no bundle of `jaxpot export`", path.c_str());
    size_t size = 0;
    unsigned long sum = 0;
    if (!std::getline(whole_file, line) || sscanf(line.c_str(), "crc32 %lu %zu", &sum, &size) != 2)
      spoilt("its head is damaged");
    std::string content{std::istreambuf_iterator<char>(whole_file), std::istreambuf_iterator<char>()};
    if (content.size() != size) spoilt("it has another length");
    if (checksum(content.data(), content.size()) != sum) spoilt("its checksum is another");

    std::istringstream file(content);
    bool ended = false;
    while (!ended && std::getline(file, line)) {
      std::istringstream words(line);
      std::string key;
      words >> key;
      if (key == "end") ended = true;
      else if (key == "jax") words >> jax;
      else if (key == "stablehlo") words >> stablehlo;
      else if (key == "platform") words >> platform;
      else if (key == "potential") words >> potential;
      else if (key == "cutoff") words >> cutoff;
      else if (key == "skin") words >> skin;
      else if (key == "halo") words >> halo;
      else if (key == "hops") words >> hops;
      else if (key == "options") words >> options.offset >> options.size;
      else if (key == "inner") {
        for (double radius; words >> radius;) inner.push_back(radius);
        words.clear();
      } else if (key == "elements") {
        for (std::string word; words >> word;) {
          size_t colon = word.find(':');
          if (colon == std::string::npos) spoilt("an element has no number");
          elements.emplace_back(word.substr(0, colon), atoi(word.c_str() + colon + 1));
        }
        words.clear();
      } else if (key == "array") {
        Parameter parameter;
        std::string type;
        words >> type >> parameter.piece.offset >> parameter.piece.size;
        if (words.fail()) spoilt("its head is damaged");
        double bytes_of_array = 1.0;    // exact, or far too large
        for (int64_t length; words >> length;) {
          parameter.dimensions.push_back(length);
          bytes_of_array *= length < 0 ? NAN : (double) length;
        }
        words.clear();
        parameter.type = type == "f64" ? pjrt::F64 : type == "f32" ? pjrt::F32 : type == "s64" ? pjrt::S64
            : type == "s32" ? pjrt::S32 : type == "s8" ? pjrt::S8 : type == "pred" ? pjrt::PRED : 0;
        bytes_of_array *= type == "f64" || type == "s64" ? 8 : type == "f32" || type == "s32" ? 4 : 1;
        if (!parameter.type) spoilt("an array has no type");
        if (bytes_of_array != (double) parameter.piece.size) spoilt("an array has another length");
        parameter.memory.reset(new Aligned<char>);
        parameters.push_back(std::move(parameter));
      } else if (key == "program") {
        Program program;
        words >> program.kind >> program.atoms >> program.rows >> program.places;
        words >> program.code.offset >> program.code.size;
        if (words.fail()) spoilt("its head is damaged");
        for (int places; words >> places;) program.inner.push_back(places);
        words.clear();
        if (program.inner.size() != inner.size() || program.atoms < 1 || program.rows < 1 || program.places < 1)
          spoilt("its head is damaged");
        programs.push_back(program);
      } else spoilt("its head has an unknown line");
      if (words.fail()) spoilt("its head is damaged");
    }
    if (!ended) spoilt("its head does not end");
    if (!(cutoff > 0.0) || elements.empty() || programs.empty() || platform.empty() || inner.size() > 8)
      spoilt("its head is not complete");
    bytes = content.substr((size_t) file.tellg());
    size = bytes.size();
    auto within = [&](const Piece &piece) { return piece.size <= size && piece.offset <= size - piece.size; };
    bool whole = within(options);
    for (auto &each : parameters) whole = whole && within(each.piece);
    for (auto &each : programs) whole = whole && within(each.code);
    if (!whole) spoilt("parts of it are missing");
  }

  // Programs of a version of StableHLO run on plugins of the same version or a later one.
  void check_version() const
  {
    auto newest = runtime->newest_programs();
    int made[3] = {0, 0, 0};
    if (!newest[0] || sscanf(stablehlo.c_str(), "%d.%d.%d", made, made + 1, made + 2) != 3) return;
    std::vector<int64_t> needed(made, made + 3);
    if (std::lexicographical_compare(newest.begin(), newest.end(), needed.begin(), needed.end()))
      refuse("%s was exported by jax %s, as StableHLO %s, and the PJRT plugin runs %d.%d.%d at most: install one that is "
             "as new as that jax", path.c_str(), jax.c_str(), stablehlo.c_str(), (int) newest[0], (int) newest[1],
             (int) newest[2]);
  }

  // The program with the shortest arrays that hold the rows, and the rows in these.
  void choose(Set &set, const char *kind, const jaxpot_rows &call)
  {
    int most = call.real ? *std::max_element(call.counts, call.counts + call.real) : 0;
    Program *best = nullptr;
    bool long_enough = false;
    int atoms = 0, rows = 0, places = 0;
    for (auto &program : programs) {
      if (program.kind != kind) continue;
      atoms = std::max(atoms, program.atoms);
      rows = std::max(rows, program.rows);
      places = std::max(places, program.places);
      bool longer = program.places >= most;
      for (size_t c = 0; c < inner.size(); c++)
        longer = longer && program.inner[c] >= std::min(most, call.inner[c]);
      long_enough = long_enough || longer;
      if (!longer || program.atoms < std::max(1, call.all) || program.rows < call.real) continue;
      bool shorter = best && (program.places < best->places ||
                              (program.places == best->places && program.atoms < best->atoms));
      if (!best || shorter) best = &program;
    }
    if (!best && !long_enough)
      refuse("%s holds %d neighbours of an atom, and one has %d: export it with a larger --neighbors", path.c_str(),
             places, most);
    if (!best)
      refuse("%s holds %d atoms of a rank, %d with those around, and this one has %d, %d with those around: export it "
             "with a larger --atoms, or start more ranks", path.c_str(), rows, atoms, call.real, call.all);
    compile(*best);
    for (void *&buffer : set.buffers) {
      runtime->destroy(pjrt::BUFFER_DESTROY, buffer);
      buffer = nullptr;
    }
    set.program = best;
    fill(set, call);
    int64_t n = best->atoms, m = best->rows, k = best->places;
    set.buffers = {nullptr,
                   runtime->buffer(set.numbers.data, pjrt::S32, {n}),
                   runtime->buffer(set.centers.data, pjrt::S32, {m}),
                   runtime->buffer(set.others.data, pjrt::S32, {m, k}),
                   runtime->buffer(set.counts.data, pjrt::S32, {m}),
                   runtime->buffer(set.own.data, pjrt::S32, {}),
                   runtime->buffer(set.real.data, pjrt::S32, {})};
    set.stale = false;
  }

  void fill(Set &set, const jaxpot_rows &call)
  {
    int n = set.program->atoms, m = set.program->rows, k = set.program->places;
    set.x.resize(3 * (size_t) n);
    set.numbers.resize(n);
    set.centers.resize(m);
    set.others.resize((size_t) m * k);
    set.counts.resize(m);
    set.own.resize(1);
    set.real.resize(1);
    std::fill(set.x.data, set.x.data + 3 * (size_t) n, 0.0);
    std::copy(call.numbers, call.numbers + call.all, set.numbers.data);
    std::fill(set.numbers.data + call.all, set.numbers.data + n, 0);
    int shared = std::min(k, call.places);
    for (int i = 0; i < m; i++) {    // rows behind the real ones are copies of the last of these
      int taken = std::min(i, call.real - 1), center = call.real ? call.centers[taken] : 0;
      int *to = set.others.data + (size_t) i * k;
      set.centers.data[i] = center;
      set.counts.data[i] = call.real ? call.counts[taken] : 0;
      int copied = call.real ? shared : 0;
      const int *from = call.others + (size_t) std::max(0, taken) * call.places;
      std::copy(from, from + copied, to);
      std::fill(to + copied, to + k, center);
    }
    set.own.data[0] = call.own;
    set.real.data[0] = call.real;
  }

  void compile(Program &program)
  {
    if (program.executable) return;
    pjrt::Program code;
    memset(&code, 0, sizeof(code));
    code.head.size = sizeof(code);
    code.code = &bytes[program.code.offset];
    code.code_size = program.code.size;
    code.format = "mlir";
    code.format_size = 4;
    pjrt::Call<pjrt::Compile> call;
    call->client = runtime->client;
    call->program = &code;
    call->options = &bytes[options.offset];
    call->options_size = options.size;
    OwnFlags own;
    runtime->tell(pjrt::CLIENT_COMPILE, call, "a program of the bundle cannot be compiled");
    pjrt::Call<pjrt::One> made, outputs;
    made->object = call->executable;
    runtime->tell(pjrt::LOADED_EXECUTABLE, made, "a program of the bundle cannot be asked what it is");
    outputs->object = made->result;
    runtime->tell(pjrt::EXECUTABLE_OUTPUTS, outputs, "a program of the bundle cannot be asked what it is");
    runtime->destroy(pjrt::EXECUTABLE_DESTROY, made->result);
    if ((size_t) outputs->result != (program.kind == "forces" ? 3 : 1)) spoilt("a program has other results");
    program.executable = call->executable;
  }

  // The first numbers of an output.
  const double *values(void *output, size_t count, std::vector<double> &copy)
  {
    pjrt::Call<pjrt::One> bytes_of_output;
    bytes_of_output->object = output;
    runtime->tell(pjrt::BUFFER_BYTES, bytes_of_output, "the PJRT plugin does not say how long an array is");
    if ((size_t) bytes_of_output->result < count * sizeof(double)) spoilt("a program has other results");
    if (runtime->in_place) {
      pjrt::Call<pjrt::One> call;
      call->object = output;
      runtime->tell(pjrt::BUFFER_UNSAFE_POINTER, call, "the PJRT plugin does not say where its numbers are");
      return (const double *) call->result;
    }
    pjrt::Call<pjrt::ToHost> call;
    call->source = output;
    runtime->tell(pjrt::BUFFER_TO_HOST, call, "the PJRT plugin does not hand over its numbers");
    copy.resize(std::max(count, call->size / sizeof(double)));
    call->to = copy.data();
    runtime->tell(pjrt::BUFFER_TO_HOST, call, "the PJRT plugin does not hand over its numbers");
    runtime->wait(call->done, "the PJRT plugin does not hand over its numbers");
    return copy.data();
  }
};

std::vector<std::unique_ptr<Bundle>> &bundles()
{
  // Never taken down: what they hold belongs to a plugin that may be gone before.
  static auto *all = new std::vector<std::unique_ptr<Bundle>>;
  return *all;
}

void say(char *message, const char *text)
{
  snprintf(message, 1024, "%s", text);
}

}    // namespace

bool jaxpot_is_bundle(const char *path)
{
  std::ifstream file(path, std::ios::binary);
  std::string line;
  return is_file(path) && file && std::getline(file, line) && line == MAGIC;
}

extern "C" void jaxpot_bundle_open(jaxpot_model *model)
{
  try {
    if (model->words != model->types + 1)
      refuse("expected pair_coeff * * %s and an element for each of %d atom types", model->word[0], model->types);
    std::unique_ptr<Bundle> bundle(new Bundle(model->word[0]));
    bool any = false;
    for (int k = 0; k < model->types; k++) {
      model->numbers[k] = bundle->number(model->word[k + 1]);
      any = any || model->numbers[k];
    }
    if (!any) refuse("expected an element for each atom type (or NULL), got NULL alone");
    model->cutoff = bundle->cutoff;
    model->skin = bundle->skin;
    model->halo = bundle->halo;
    model->inner_count = (int) bundle->inner.size();
    std::copy(bundle->inner.begin(), bundle->inner.end(), model->inner);
    model->ghost_rows = bundle->hops;
    model->centroid = !bundle->hops;
    model->has_std = 0;
    model->handle = (int) bundles().size();
    bundles().push_back(std::move(bundle));
    model->answered = 1;
  } catch (const std::exception &error) {
    say(model->message, error.what());
  }
}

extern "C" void jaxpot_bundle_call(jaxpot_rows *call)
{
  try {
    bundles()[call->handle]->call(*call);
    call->answered = 1;
  } catch (const std::exception &error) {
    say(call->message, error.what());
  }
}
