"""Calls each function of the module: `call.py MODULE`."""

import ctypes
import sys

module = ctypes.CDLL(sys.argv[1])
module.without_init()
module.of_a_program()
module.in_process()
module.with_init()
