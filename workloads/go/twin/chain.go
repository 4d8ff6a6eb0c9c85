package twin

// Link is 96 bytes: one object of a chain, as workloads/common/chain.h with --object-bytes 96.
type Link struct {
	Next   *Link
	Number uint64
	Stamp  uint64
	tail   [72]byte
}

// MakeChain makes count links, numbered count - 1 down to 0 from the head on.
func MakeChain(count, stamp uint64) *Link {
	var head *Link
	for i := uint64(0); i < count; i++ {
		head = &Link{Next: head, Number: i, Stamp: stamp}
	}
	return head
}

// Whole is true if head is one of count links with this stamp, in order.
func Whole(head *Link, count, stamp uint64) bool {
	for ; head != nil; head = head.Next {
		if count == 0 || head.Number != count-1 || head.Stamp != stamp {
			return false
		}
		count--
	}
	return count == 0
}
