# file: src/parent/reactor.rs
# target: --lib
# test: parent::reactor::tests::a_reactor_that_is_not_installed_ends_alone
s/if state.over && is_installed {/if state.over {/
