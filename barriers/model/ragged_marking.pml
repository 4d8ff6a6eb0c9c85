/* The hybrid barrier with ragged handshakes and ragged termination, as messages between processes.
 *
 * Three objects with one field each; object 0 is a global root; object 2 begins free and is allocated at any time.
 * Two mutators with one register each (the first also allocates, writes to objects other than the root, and
 * stores in two steps; that keeps the model small and loses no mutant; model/explorer.h has two that do everything); a collector that also marks, one field at a time. A handshake is a word per
 * mutator, req[m], that the mutator clears at a safepoint when it has done what was asked:
 *
 *   kBarrier  its barrier is on           kBlack  it allocates black
 *   kScan     its register is shaded      kRound  it hands in what its buffer and its own grey set hold
 *
 * Marking ends with a round, begun when nothing was grey, in which nothing was found. Then everything that can be
 * reached must be marked (the assertion). A full buffer may be flushed at any time: what it greys stays in the
 * mutator's own set until it is handed in. Threads, orders and code: collector/cycle/ragged_transition.cc.
 *
 * Mutants, each of which must violate the assertion (check_ragged_marking.sh):
 *   NO_DELETION NO_INSERTION  half a barrier          TRACE_EARLY  tracing before kBarrier is acknowledged
 *   MERGE_ROUNDS  barrier and black in one round      WHITE        allocation stays white
 *   NO_HAND_IN    rounds look at nothing              ONE_ROUND    the first round ends marking
 *   SILENT        a flush greys objects without announcing it
 */
#define NIL 3
#define kNone 0
#define kBarrier 1
#define kBlack 2
#define kScan 3
#define kRound 4

byte field[3];
byte reg[2];
byte req[2];
bit flag[2];
bit black[2];
byte marked = 0;     /* sets of objects, a bit each */
byte grey = 0;
byte pending[2];
byte held[2];
bit allocated = 0;
bit found = 0;        /* since the round's beginning */
bit in_round = 0;
bit over = 0;

#define BIT(o) (1 << (o))
#define HAS(set, o) (((set) >> (o)) & 1)

inline shade(o) {
  if
  :: o != NIL && !HAS(marked, o) ->
     marked = marked | BIT(o);
     grey = grey | BIT(o);
     pending[0] = pending[0] & ~marked;  /* shading those again would do nothing */
     pending[1] = pending[1] & ~marked
  :: else
  fi
}

inline remember(m, o) {
  if
  :: o != NIL && !HAS(marked, o) -> pending[m] = pending[m] | BIT(o)
  :: else
  fi
}

/* What a mutator does at a safepoint when it is asked. */
inline answer(m) {
  d_step {
    if
    :: req[m] == kBarrier -> flag[m] = 1
#ifdef MERGE_ROUNDS
       ; black[m] = 1
#endif
    :: req[m] == kBlack -> black[m] = 1; flag[m] = 1
    :: req[m] == kScan -> shade(reg[m])
    :: req[m] == kRound ->
#ifndef NO_HAND_IN
       if
       :: (held[m] | (pending[m] & ~marked)) != 0 -> found = 1
       :: else
       fi;
       grey = grey | held[m] | (pending[m] & ~marked);
       marked = marked | pending[m];
       held[m] = 0;
       pending[m] = 0
#else
       skip
#endif
    fi;
    req[m] = kNone
  }
}

proctype Mutator(byte m) {
  byte slot, value;
  bit storing = 0;
end:
  do
  :: !storing && req[m] != kNone -> answer(m)
  :: d_step { !over && !storing -> reg[m] = field[0] }
  :: d_step { !over && !storing && reg[m] != NIL -> reg[m] = field[reg[m]] }
  :: d_step { !over && !storing && !allocated && m == 0 ->
       allocated = 1;
       reg[m] = 2;
#ifndef WHITE
       if
       :: black[m] -> marked = marked | BIT(2)
       :: else
       fi
#endif
     }
  :: d_step { pending[m] != 0 && !over && !storing ->    /* the buffer is full */
       held[m] = held[m] | (pending[m] & ~marked);
#ifndef SILENT
       if
       :: (pending[m] & ~marked) != 0 -> found = in_round
       :: else
       fi;
#endif
       marked = marked | pending[m];
       pending[1 - m] = pending[1 - m] & ~marked;
       pending[m] = 0
     }
  :: atomic { !over && !storing ->                       /* a store: test and barrier, then the store */
       if
       :: slot = 0
       :: m == 0 && reg[m] != NIL -> slot = reg[m]
       fi;
       if
       :: reg[m] != NIL -> value = reg[m]
       :: value = NIL
       fi;
       if
       :: flag[m] ->
#ifndef NO_DELETION
          remember(m, field[slot]);
#endif
#ifndef NO_INSERTION
          remember(m, value);
#endif
          skip
       :: else
       fi;
       if
       :: m == 0 -> storing = 1              /* anything may happen before the store itself */
       :: m == 1 -> field[slot] = value; slot = 0; value = 0
       fi
     }
  :: d_step { storing -> field[slot] = value; slot = 0; value = 0; storing = 0 }
  od
}

/* Scans the field of one grey object. */
inline mark_some() {
  atomic {
    if
    :: HAS(grey, 0) -> scanning = 0
    :: HAS(grey, 1) -> scanning = 1
    :: HAS(grey, 2) -> scanning = 2
    fi;
    grey = grey & ~BIT(scanning);
    shade(field[scanning]);
    scanning = 0
  }
}

inline ask_both(what) {
  d_step { req[0] = what; req[1] = what }
}

proctype Collector() {
  byte scanning = 0;
  byte reached = 0;
  byte i;
  ask_both(kBarrier);
#ifdef TRACE_EARLY
  (req[0] == kNone);
  d_step { shade(0) };
  do
  :: grey != 0 -> mark_some()
  :: req[1] == kNone -> break
  od;
#endif
  (req[0] == kNone && req[1] == kNone);
#ifndef MERGE_ROUNDS
  ask_both(kBlack);
  (req[0] == kNone && req[1] == kNone);
#endif
  d_step { shade(0) };
  ask_both(kScan);
  do
  :: grey != 0 -> mark_some()
  :: grey == 0 && req[0] == kNone && req[1] == kNone ->
     d_step { found = 0; in_round = 1 };
     if
     :: grey != 0 -> in_round = 0                    /* looked at again after found was cleared */
     :: else ->
        ask_both(kRound);
        do
        :: grey != 0 -> mark_some()
        :: req[0] == kNone && req[1] == kNone -> break
        od;
        if
#ifdef ONE_ROUND
        :: grey == 0 -> break
#else
        :: grey == 0 && !found -> break
#endif
        :: else -> d_step { found = 0; in_round = 0 }
        fi
     fi
  od;
  skip;
  d_step {
    over = 1;
    reached = 1;
    if :: reg[0] != NIL -> reached = reached | BIT(reg[0]) :: else fi;
    if :: reg[1] != NIL -> reached = reached | BIT(reg[1]) :: else fi;
    i = 0;
    do
    :: i < 3 ->
       if :: HAS(reached, 0) && field[0] != NIL -> reached = reached | BIT(field[0]) :: else fi;
       if :: HAS(reached, 1) && field[1] != NIL -> reached = reached | BIT(field[1]) :: else fi;
       if :: HAS(reached, 2) && field[2] != NIL -> reached = reached | BIT(field[2]) :: else fi;
       i++
    :: else -> break
    od;
    assert((reached & ~marked) == 0)
  }
}

init {
  atomic {
    /* The lists 0 -> 1 -> 2 and what is left of them; the mutators make other shapes, before or after they hear of
       the cycle. In half of them the third object is free. */
    if :: field[0] = 1 :: field[0] = NIL fi;
    if
    :: field[1] = 2; allocated = 1
    :: field[1] = NIL
    fi;
    field[2] = NIL;
    reg[0] = NIL;
    reg[1] = NIL;
    run Mutator(0);
    run Mutator(1);
    run Collector()
  }
}
