// What pair_jaxpot.cpp asks of a model, whoever answers: the Python of the same process or a bundle (bundle.cpp). The
// same structures, field by field, are in pair.py.
//
// SPDX-License-Identifier: MIT

#ifndef JAXPOT_MODEL_H
#define JAXPOT_MODEL_H

extern "C" {

// What is known of a model.
struct jaxpot_model {
  int types;             // in: number of atom types
  int words;             //     number of
  const char **word;     //     arguments behind the atom types: the model and its elements
  int handle;            // out: number of the model
  double cutoff;         //      A, of its environments
  double skin;           //      A, of its rows
  double halo;           //      A, how far the atoms may be that an energy depends on
  int inner_count;       //      shorter cutoffs that rows are sorted by
  double inner[8];
  int ghost_rows;        //      whether atoms of other ranks need rows
  int centroid;          //      whether virials have a centroid form
  int has_std;           //      whether there are error bars
  int numbers[256];      //      atomic number of each atom type, from 0; 0: none of this style's
  int answered;          //      1: what stands here is right
  char message[1024];    //      what is wrong
};

struct jaxpot_rows {
  int handle, want, fresh;
  int local, all;        // atoms: of this rank, and with those of others
  int rows, real, own;   // rows, those that are no copies, and those of this rank's atoms, which come first
  int places;            // of a row
  int inner[8];          // places for the shorter cutoffs
  int length;            // of x, numbers
  const double *x;       // (length, 3)
  const int *numbers;    // (length,)
  const int *centers;    // (rows,)
  const int *counts;     // (rows,)
  const int *others;     // (rows, places)
  double *forces;        // (all, 3), added to
  double *energies;      // (local,), added to, or null
  double *virials;       // (all, 9), added to, or null: xx yy zz xy xz yz yx zx zy
  double *std;           // (local,), written
  double energy;         // out
  double virial[6];      // out: xx yy zz xy xz yz
  int answered;          // out, 1: what stands here is right
  char message[1024];
};

enum { FORCES = 0, ATOM_VIRIALS = 1, STD_ENERGY = 2, STD_FORCE = 3, STD_TOTAL = 4 };

// Both set `answered` where all is well, and nothing else: an exception that nobody has thought of leaves it 0.
typedef void (*jaxpot_open)(jaxpot_model *);
typedef void (*jaxpot_call)(jaxpot_rows *);
}

#endif
