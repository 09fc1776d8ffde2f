/* refused: no mcore_transport_plugin_v1 */
int mcore_unrelated(void);
int mcore_unrelated(void) { return 0; }
