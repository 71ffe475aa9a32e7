/* A module in C++: a command sorts its parameters with the language's own library. */
#include <set>
#include <stdexcept>
#include <string>

#include "../../sr_module.h"
#include "../../locking.h"
#include "../../mem/shm_mem.h"
#include "../../mi/attr.h"
#include "../../mi/tree.h"
#include "../../ut.h"

static char *prefix = (char *)"";
static stat_var *sorted;
static gen_lock_t *lock;

static int mod_init(void)
{
	lock = lock_alloc();
	LM_INFO("module %s in C++\n", MOD_NAME);
	return lock && lock_init(lock) ? 0 : -1;
}

static std::set<std::string> words_of(const struct mi_node *node)
{
	std::set<std::string> words;

	for (; node; node = node->next)
		words.emplace(node->value.s, node->value.len);
	if (words.empty())
		throw std::invalid_argument("no words");
	return words;
}

static struct mi_root *mi_words(struct mi_root *request, void *)
{
	try {
		const std::set<std::string> words = words_of(request->node.kids);
		struct mi_root *reply = init_mi_tree(200, MI_SSTR(MI_OK));

		lock_get(lock);
		update_stat(sorted, 1);
		lock_release(lock);
		for (const std::string &word : words) {
			struct mi_node *node =
				addf_mi_node_child(&reply->node, 0, MI_SSTR("Word"), "%s%s", prefix, word.c_str());

			addf_mi_attr(node, 0, MI_SSTR("length"), "%zu", word.size());
		}
		return reply;
	} catch (const std::invalid_argument &) {
		return init_mi_tree(400, MI_SSTR("no words"));
	}
}

static param_export_t params[] = {
	{ "prefix", STR_PARAM, &prefix },
	{ 0, 0, 0 },
};

static stat_export_t stats[] = {
	{ "sorted", 0, &sorted },
	{ 0, 0, 0 },
};

static mi_export_t mi_cmds[] = {
	{ "words", "sorts its parameters", mi_words, 0, 0, 0 },
	{ 0, 0, 0, 0, 0, 0 },
};

struct module_exports exports = {
	"words", MODULE_VERSION, DEFAULT_DLFLAGS, 0, params, stats, mi_cmds, 0, 0, mod_init, 0, 0, 0,
};
