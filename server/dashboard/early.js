// Before anything is painted: the theme that was chosen here, so that a dark room sees no white flash.
(() => {
  try {
    const theme = localStorage.getItem("sluice.theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch {
    // storage is closed to us: the system's theme it is
  }
})();
