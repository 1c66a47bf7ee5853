# In a Makefile: `include docs/ci/hxbench.mk`; then `make hxbench-certify PROFILES="a.yaml b.yaml"`.
HXBENCH ?= hxbench
PROFILES ?= smollm2-135m

.PHONY: hxbench-plan hxbench-certify hxbench-index hxbench-tidy

hxbench-plan: ## what each profile would ask for and can decide
	@for profile in $(PROFILES); do $(HXBENCH) plan "$$profile" || exit $$?; done

hxbench-certify: ## measure one after the other, render side by side; make turns each status but 0 into its own 2
	$(HXBENCH) certify $(PROFILES)

hxbench-index: ## outputs/index.html
	$(HXBENCH) index

hxbench-tidy: ## delete what is older than a month, but for the newest 20 of each profile
	$(HXBENCH) gc --keep 20 --older-than 30d --yes
