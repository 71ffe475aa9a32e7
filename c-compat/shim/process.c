/* Keeps what one process is: its number, and whether modules may still register. */
#include "../include/pt.h"
#include "shim.h"

int process_no;

static int is_registration_closed;

void opensips_mi_set_process_number(int number)
{
	process_no = number;
}

void opensips_mi_close_registration(void)
{
	is_registration_closed = 1;
}

int opensips_mi_is_registration_closed(void)
{
	return is_registration_closed;
}
