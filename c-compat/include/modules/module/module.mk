# What the Makefile of a module includes, with NAME set: builds NAME.so from the C and C++ files beside the Makefile.
# The folder of this file stands for the module's own, so that "../../sr_module.h" is found.
HERE := $(dir $(lastword $(MAKEFILE_LIST)))
CFLAGS ?= -O2 -g -Wall -Wextra

# Texts are char * in the interface, as in C; C++ warns of each literal.
OF_CXX := $(if $(wildcard *.cc *.cpp),-Wno-write-strings)

$(NAME).so: $(wildcard *.c *.cc *.cpp)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(OF_CXX) -DMOD_NAME='"$(NAME)"' -I$(HERE). -fPIC -shared -o $@ $^ $(LDFLAGS) \
		$(LDLIBS) $(if $(OF_CXX),-lstdc++)

.PHONY: clean
clean:
	$(RM) $(NAME).so
