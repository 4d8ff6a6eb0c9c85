// The order in which locks may be taken: a thread that holds one may only take one of a higher rank.
// The one table; debug builds check it on every lock (mutex.h).
#pragma once

namespace keel {

enum class LockRank : int {
  kFork = 5,         // held across fork(), with those that a reading child needs
  kCollect = 10,     // who runs the next cycle, who waits for it
  kRegistry = 20,    // the list of mutators; held across a handshake or a stop
  kSpecials = 22,    // finalizers, cleanups, weak pointers by object
  kFinalizers = 23,  // functions waiting to run
  kListener = 25,    // recorders' own state
  kRoots = 30,       // slots of Root<T>
  kWorkers = 35,     // mark workers' epoch and sums
  kLayouts = 40,     // registration of layouts
  kCentral = 50,     // one layout's spans
  kLarge = 55,       // spans of large objects
  kPages = 60,       // page heap: free runs, frontier
  kGrey = 70,        // shared grey chunks
  kLeaf = 100,       // takes no other
};

}  // namespace keel
