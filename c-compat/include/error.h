/* Codes that functions of modules return. */
#ifndef OPENSIPS_MI_ERROR_H
#define OPENSIPS_MI_ERROR_H

#include "str.h"

#define E_UNSPEC -1
#define E_OUT_OF_MEM -2
#define E_BAD_RE -3
#define E_BUG -5
#define E_CFG -6
#define E_NO_SOCKET -7
#define E_SCRIPT -10
#define E_EXEC -11
#define E_INVALID_PARAMS -14
#define E_NO_DESTINATION -18
#define E_BAD_REQ -400
#define E_IP_BLOCKED -473
#define E_BAD_PROTO -474
#define E_BAD_URI -475
#define E_BAD_ADDRESS -476
#define E_SEND -477
#define E_BAD_SERVER -500

#endif
