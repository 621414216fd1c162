// The toy as an engine of bitparity, in Go.
package main

/*
#cgo CFLAGS: -I${SRCDIR}/../toy
#cgo LDFLAGS: -ltoy -lm
#include <stdint.h>
#include "toy.h"
*/
import "C"

import (
	"runtime/cgo"
	"unsafe"
)

type session struct {
	engine *C.toy
	nVocab int
}

//export bitparity_open
func bitparity_open(gguf *C.char, context, threads, device C.int32_t, why *C.char, size C.size_t) C.uintptr_t {
	engine := C.toy_open(gguf, C.int(context), why, size)
	if engine == nil {
		return 0
	}
	return C.uintptr_t(cgo.NewHandle(&session{engine, int(C.toy_n_vocab(engine))}))
}

func of(handle C.uintptr_t) *session { return cgo.Handle(handle).Value().(*session) }

//export bitparity_n_vocab
func bitparity_n_vocab(handle C.uintptr_t) C.int32_t { return C.int32_t(of(handle).nVocab) }

//export bitparity_forward
func bitparity_forward(handle C.uintptr_t, ids *C.int32_t, n, position C.int32_t, logits *C.float) C.int32_t {
	s := of(handle)
	tokens := unsafe.Slice(ids, n)
	rows := unsafe.Slice(logits, int(n)*s.nVocab)
	for i, token := range tokens {
		C.toy_step(s.engine, C.int(token), C.int(position)+C.int(i), &rows[i*s.nVocab])
	}
	return 0
}

//export bitparity_close
func bitparity_close(handle C.uintptr_t) {
	C.toy_close(of(handle).engine)
	cgo.Handle(handle).Delete()
}

func main() {} // a C library needs one
