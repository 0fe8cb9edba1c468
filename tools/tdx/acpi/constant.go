package acpi

import "sync"

// constant makes a term once that is the same in every machine.
func constant(make func() term) func() term { return sync.OnceValue(make) }

// perFlag makes a term once for each value of a flag.
func perFlag(make func(flag bool) term) func(flag bool) term {
	off := sync.OnceValue(func() term { return make(false) })
	on := sync.OnceValue(func() term { return make(true) })
	return func(flag bool) term {
		if flag {
			return on()
		}
		return off()
	}
}
