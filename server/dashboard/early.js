// Before anything is painted, so that a dark room sees no white flash.
{
	const theme = localStorage?.getItem("sluice.theme");
	if (theme) document.documentElement.dataset.theme = theme;
}
