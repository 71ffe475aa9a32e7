# What the Makefile of a module includes, with NAME set: builds NAME.so from the C files beside the Makefile.
# The folder of this file stands for the module's own, so that "../../sr_module.h" is found.
HERE := $(dir $(lastword $(MAKEFILE_LIST)))
CFLAGS ?= -O2 -g -Wall -Wextra

$(NAME).so: $(wildcard *.c)
	$(CC) $(CPPFLAGS) $(CFLAGS) -DMOD_NAME='"$(NAME)"' -I$(HERE). -fPIC -shared -o $@ $^ $(LDFLAGS) $(LDLIBS)

.PHONY: clean
clean:
	$(RM) $(NAME).so
