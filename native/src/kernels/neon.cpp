#include "sets.hpp"
