/* Compares two directory trees by everything but times and inode numbers; the first difference ends the run through story_fail. */
#ifndef CFS_TREE_H
#define CFS_TREE_H

#include "story.h"

void compare_trees(const char *left, const char *right);
/* A directory's names, sorted, "." and ".." included, separated by slashes; freed by the caller. Null with errno when it cannot be listed. */
char *list_names(const char *path);
/* The attribute names of a file, sorted, separated by slashes; freed by the caller. */
char *list_attributes(const char *path);

#endif
