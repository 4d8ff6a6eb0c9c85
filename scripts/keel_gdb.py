"""Keel's heap in gdb: objects, spans, roots, and who points where.

    gdb -x scripts/keel_gdb.py --args build/debug/bin/ballast ...
    (gdb) keel heap              phase, cycle, goal, mutators
    (gdb) keel object ADDRESS    the object that holds it: layout, colour, words
    (gdb) keel span ADDRESS      the span that holds it: slots, live, sweep
    (gdb) keel roots             every Root<T>, with the place that made it
    (gdb) keel who ADDRESS       objects, roots and stack words that point into the object there

ADDRESS is any expression of gdb's. Works on a running process that is stopped, and on a core file. The program must be
built with debug information (preset debug).
"""
import struct

import gdb

PAGE_SHIFT = 13
CHUNK_SHIFT = 26
POISON_TAG = 0xDBDB
KINDS = ["pointer-free", "all pointers", "one unit", "repeated units", "long units", "conservative"]


class KeelError(gdb.GdbError):
    pass


def atomic(value):
    """What a std::atomic holds."""
    names = [field.name for field in value.type.strip_typedefs().fields()]
    if "_M_i" in names:
        return value["_M_i"]
    if "_M_b" in names:
        return value["_M_b"]["_M_p"]
    for field in value.type.strip_typedefs().fields():
        if field.is_base_class:
            return atomic(value.cast(field.type))
    raise KeelError(f"keel: no atomic value in {value.type}")


def pointee(unique_ptr):
    """What a std::unique_ptr points to: its first word, whatever the library calls it."""
    pointer = unique_ptr.type.strip_typedefs().template_argument(0).pointer()
    return unique_ptr.address.cast(pointer.pointer()).dereference()


def elements(vector):
    start, finish = vector["_M_impl"]["_M_start"], vector["_M_impl"]["_M_finish"]
    for i in range(int(finish - start)):
        yield start[i]


def words(address, count):
    memory = gdb.selected_inferior().read_memory(address, 8 * count)
    return struct.unpack(f"<{count}Q", bytes(memory))


class Heap:
    """One look at the heap; read anew for every command."""

    def __init__(self):
        try:
            self.core = gdb.parse_and_eval("(keel::HeapCore*)keel_debug_core").dereference()
        except gdb.error as error:
            raise KeelError(f"keel: no heap to look at: {error} (a program with Keel and debug information is needed)") from error
        if int(self.core.address) == 0:
            raise KeelError("keel: this program has no heap now")
        table = self.core["memory"]["table_"]
        self.base = int(table["base_"])
        self.range = int(table["range_bytes_"])
        self.entries = table["entries_"]
        self.spans = table["spans_"]
        self.chunks = table["chunks_"]
        self.bits = [int(table["bits_"][i]) for i in (0, 1)]
        self.cycle = int(atomic(self.core["memory"]["cycle_"]))
        self.layouts = gdb.parse_and_eval("keel::detail::g_layouts")["_M_elems"]

    def find(self, address):
        """The span that holds the address, or None."""
        offset = address - self.base
        if not 0 <= offset < self.range:
            return None
        page = offset >> PAGE_SHIFT
        word = int(atomic(self.entries[page]))
        if word != 0:
            return Span(self, page - (word & 0xFFFFFFFF))
        span = atomic(self.chunks[offset >> CHUNK_SHIFT])
        if int(span) == 0:
            return None
        return Span(self, (int(span["start"]) - self.base) >> PAGE_SHIFT)

    def object(self, address):
        """(span, slot) or a KeelError that says what the address is."""
        span = self.find(address)
        if span is None:
            where = "in the heap's range, on a page that no span uses" if 0 <= address - self.base < self.range else "not in the heap"
            raise KeelError(f"keel: {address:#x} is {where}")
        slot = (address - span.start) // span.slot_bytes
        if slot >= span.slots:
            raise KeelError(f"keel: {address:#x} is behind the last slot of its span")
        return span, slot

    def all_spans(self):
        frontier = int(self.core["memory"]["pages_"]["frontier_"])
        page = 0
        while page < frontier:
            word = int(atomic(self.entries[page]))
            if word != 0 and (word & 0xFFFFFFFF) == 0:
                span = Span(self, page)
            else:
                chunk = atomic(self.chunks[page << PAGE_SHIFT >> CHUNK_SHIFT])
                span = None
                if word == 0 and int(chunk) != 0 and int(chunk["start"]) == self.base + (page << PAGE_SHIFT):
                    span = Span(self, page)
            if span is None:
                page += 1
            else:
                yield span
                page += span.pages


class Span:
    def __init__(self, heap, page):
        self.heap, self.page = heap, page
        value = heap.spans[page]
        self.start, self.pages = int(value["start"]), int(value["pages"])
        self.bytes = self.pages << PAGE_SHIFT
        self.layout_id = int(value["layout"])
        layout = heap.layouts[self.layout_id]
        self.large = int(layout["size_class"]) == 0
        self.slots = int(layout["slots"])
        self.slot_bytes = self.bytes if self.large else int(layout["slot_bytes"])
        self.kind = int(layout["kind"])
        self.unit_words, self.unit_bits = int(layout["unit_words"]), int(layout["bits"])
        self.live = int(value["live_slots"])
        self.swept = int(atomic(value["swept_cycle"]))
        self.cached = bool(value["cached"])

    def bit(self, which, slot):
        """Allocation bits are those of the last mark; marks are the other array (allocator/memory/heap_memory.h)."""
        array = self.heap.bits[(self.heap.cycle + (1 if which == "mark" else 0)) & 1]
        word = words(array + 8 * (self.page * 8 + slot // 64), 1)[0]
        return bool(word >> (slot % 64) & 1)

    def describe(self):
        text = f"{self.slot_bytes} B a slot, {KINDS[self.kind]}"
        if self.kind in (2, 3):
            offsets = [str(i) for i in range(min(self.unit_words, 64)) if self.unit_bits >> i & 1]
            text += f", Ptr in words {' '.join(offsets)} of {self.unit_words}"
        return text


def address_of(argument):
    if not argument.strip():
        raise KeelError("keel: an address is needed, for instance: keel object node")
    return int(gdb.parse_and_eval(argument).cast(gdb.lookup_type("unsigned long"))) & 0xFFFFFFFFFFFFFFFF


def show_object(argument):
    heap = Heap()
    address = address_of(argument)
    if address >> 48 == POISON_TAG:
        address &= (1 << 48) - 1
        print(f"poison, read from {address:#x}:")
    span, slot = heap.object(address)
    start = span.start + slot * span.slot_bytes
    print(f"object {start:#x}, byte {address - start} of it; {span.describe()} (layout {span.layout_id})")
    print(f"  slot {slot} of span {span.start:#x}: allocation bit {'set' if span.bit('allocation', slot) else 'clear'}, "
          f"mark bit {'set' if span.bit('mark', slot) else 'clear'}{', span in a thread cache' if span.cached else ''}")
    count = min(span.slot_bytes // 8, 32)
    for i, word in enumerate(words(start, count)):
        notes = ""
        if word >> 48 == POISON_TAG:
            notes = "  poison: the slot is free"
        else:
            target = heap.find(word)
            if target is not None:
                notes = f"  -> object {target.start + (word - target.start) // target.slot_bytes * target.slot_bytes:#x}"
        print(f"  {'>' if i == (address - start) // 8 else ' '} word {i:3}  {word:#018x}{notes}")
    if span.slot_bytes // 8 > count:
        print(f"  ... {span.slot_bytes // 8 - count} more words")


def show_span(argument):
    heap = Heap()
    address = address_of(argument)
    span, _ = heap.object(address)
    print(f"span [{span.start:#x}, {span.start + span.bytes:#x}): {span.pages} pages, {span.describe()} (layout {span.layout_id})")
    print(f"  {span.live} of {span.slots} slots live after the last sweep (cycle {span.swept}; {heap.cycle} cycles completed)"
          f"{', in a thread cache' if span.cached else ''}")
    if not span.large:
        print("  allocated: " + "".join("#" if span.bit("allocation", i) else "." for i in range(min(span.slots, 256))))
        print("  marked:    " + "".join("#" if span.bit("mark", i) else "." for i in range(min(span.slots, 256))))


def roots(heap):
    """(slot's address, pointer, place) of every Root in use."""
    table = heap.core["roots"]
    for block in elements(table["blocks_"]):
        cells = pointee(block).dereference()["_M_elems"]
        for i in range(cells.type.strip_typedefs().range()[1] + 1):
            cell = cells[i]
            if int(cell["where"]["line"]) == -1:
                continue
            pointer = int(atomic(cell["slot"]["word_"]))
            if pointer != 0:
                yield int(cell["slot"].address), pointer, f"{cell['where']['file'].string()}:{int(cell['where']['line'])}"


def show_roots(_):
    heap = Heap()
    count = 0
    for _, pointer, place in roots(heap):
        span = heap.find(pointer)
        print(f"{pointer:#x}  {span.describe() if span else 'not in the heap'}  made at {place}")
        count += 1
    print(f"{count} roots")


def stack_words(heap):
    """(description, word's address, word) of every mutator's stack, from where its thread stands."""
    bases = {}
    for mutator in elements(heap.core["world"]["mutators_"]):
        m = pointee(mutator).dereference()
        bases[int(m["thread_id_"])] = (int(m["id_"]), int(m["stack_base_"]))
    chosen = gdb.selected_thread()
    for thread in gdb.selected_inferior().threads():
        if thread.ptid[1] not in bases:
            continue
        thread.switch()
        number, base = bases[thread.ptid[1]]
        low = int(gdb.parse_and_eval("(unsigned long)$sp")) & ~7
        for i, word in enumerate(words(low, (base - low) // 8)):
            yield f"stack of mutator {number}", low + 8 * i, word
    if chosen is not None:
        chosen.switch()


def show_who(argument):
    heap = Heap()
    address = address_of(argument)
    span, slot = heap.object(address)
    start = span.start + slot * span.slot_bytes
    end = start + span.slot_bytes
    found = 0
    for where, pointer, place in roots(heap):
        if start <= pointer < end:
            print(f"root at {where:#x}, made at {place}")
            found += 1
    for what, where, word in stack_words(heap):
        if start <= word < end:
            print(f"{what}, word at {where:#x}")
            found += 1
    for other in heap.all_spans():
        if other.kind == 0:
            continue
        memory = words(other.start, other.bytes // 8)
        for i, word in enumerate(memory):
            if not start <= word < end:
                continue
            holder = 8 * i // other.slot_bytes
            if holder >= other.slots or not (other.bit("allocation", holder) or other.cached):
                continue
            at = other.start + holder * other.slot_bytes
            print(f"object {at:#x} ({other.describe()}), word {(other.start + 8 * i - at) // 8}")
            found += 1
    print(f"{found} words point into {start:#x}")


def show_heap(_):
    heap = Heap()
    pacer = heap.core["pacer"]
    print(f"cycle {heap.cycle} completed, phase {heap.core['phase']}, range [{heap.base:#x}, {heap.base + heap.range:#x})")
    print(f"  live {int(atomic(pacer['live_']))} B, trigger {int(atomic(pacer['trigger_']))} B, goal {int(atomic(pacer['goal_']))} B")
    states = {0: "running", 1: "blocked", 2: "held by the collector"}
    for mutator in elements(heap.core["world"]["mutators_"]):
        m = pointee(mutator).dereference()
        print(f"  mutator {int(m['id_'])} (thread {int(m['thread_id_'])}): {states.get(int(atomic(m['state_'])), '?')}, "
              f"pending {int(atomic(m['pending_']))}")


COMMANDS = {"heap": show_heap, "object": show_object, "span": show_span, "roots": show_roots, "who": show_who}


class KeelCommand(gdb.Command):
    """Look into Keel's heap: keel heap | object ADDRESS | span ADDRESS | roots | who ADDRESS."""

    def __init__(self):
        super().__init__("keel", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        name, _, rest = argument.strip().partition(" ")
        if name not in COMMANDS:
            raise KeelError(f"keel: '{name}' is not one of {', '.join(COMMANDS)}")
        COMMANDS[name](rest)

    def complete(self, text, word):
        return [name for name in COMMANDS if name.startswith(word)]


KeelCommand()
